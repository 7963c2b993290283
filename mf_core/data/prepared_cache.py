"""Prepared data in the cache: folders of files that are whole or not there, found again by what they were made of."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import DataError, MFError
from ..hub import cache_dir

#: Part of every key: raised when what is stored, or how it is made, changes.
FORMAT: Final = 2

_META: Final = "meta.json"
_HEADER: Final = 128


class ArrayWriter:
    """Writes a ``.npy`` file piece after piece, in memory for one piece.

    Args:
        path: The file. It is whole once ``close`` has returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER))
        self._dtype: np.dtype[Any] | None = None
        self._item: tuple[int, ...] = ()

    def append(self, pieces: np.ndarray) -> None:
        """Append along the first dimension; the others and the type are the first piece's."""
        if self._dtype is None:
            self._dtype, self._item = pieces.dtype, pieces.shape[1:]
        if pieces.shape[1:] != self._item or pieces.dtype != self._dtype:
            raise ValueError(f"{pieces.dtype}{pieces.shape[1:]} after {self._dtype}{self._item}")
        self._file.write(np.ascontiguousarray(pieces).tobytes())
        self.count += len(pieces)

    def close(self) -> None:
        """Complete the file and bring it to the disk."""
        dtype = np.dtype(np.int32) if self._dtype is None else self._dtype
        fields = {"descr": dtype.str, "fortran_order": False,
                  "shape": (self.count, *self._item)}  # fmt: skip
        text = repr(fields).encode("latin-1")
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little"))
        self._file.write(text + b" " * (_HEADER - 11 - len(text)) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache.

    Attributes:
        folder: Where it is.
        facts: What ``fill`` returned when it was made.
    """

    folder: Path
    facts: dict[str, Any]

    def has(self, name: str) -> bool:
        """Return whether there is an array of that name."""
        return (self.folder / f"{name}.npy").is_file()

    def array(self, name: str) -> np.ndarray:
        """Return an array, mapped into memory; one without items is in memory."""
        path = self.folder / f"{name}.npy"
        empty = path.stat().st_size <= _HEADER
        return np.asarray(np.load(path, mmap_mode=None if empty else "r", allow_pickle=False))


def entry_of(of: str, fill: Callable[[Path], dict[str, Any]]) -> CacheEntry:
    """Return the entry of a key, made by ``fill`` if it is not there, or not whole.

    Processes that make one entry at the same time each do the work; one of them puts it in place, and all use that.

    Args:
        of: What is stored, all that it depends on included.
        fill: Writes files into the folder it is given, and returns facts that JSON can hold.

    Raises:
        DataError: The cache cannot be written.
    """
    key = hashlib.sha256(f"{FORMAT} {of}".encode()).hexdigest()
    folder = cache_dir() / "datasets" / key
    found = _load(folder)
    if found is not None:
        return found
    with scratch_folder() as fresh:
        facts = fill(fresh)
        sizes = {path.name: path.stat().st_size for path in sorted(fresh.iterdir())}
        (fresh / _META).write_text(json.dumps({"facts": facts, "sizes": sizes}), encoding="utf-8")
        return _move_into_place(fresh, folder)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder in the cache, which is gone afterwards unless it has been moved.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_dir() / "datasets" / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        elsewhere = error.filename is not None and not str(error.filename).startswith(str(cache_dir()))
        if isinstance(error, MFError) or elsewhere:
            raise
        raise DataError(
            f"prepared data cannot be written to the cache {cache_dir()}", value=str(cache_dir()), why=str(error),
            hint="make room, or set MF_CACHE to another folder",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(fresh: Path, folder: Path) -> CacheEntry:
    """Rename a complete folder to its final name, unless a complete one exists by now."""
    while True:
        with suppress(OSError):
            fresh.rename(folder)
        found = _load(folder)
        if found is not None:
            return found
        if not folder.exists() and fresh.exists():
            fresh.rename(folder)  # raises what is in the way
            continue
        broken = folder.with_name(f"{fresh.name}.broken")
        with suppress(FileNotFoundError):
            folder.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)


def _load(folder: Path) -> CacheEntry | None:
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in meta["sizes"].items())
        entry = CacheEntry(folder, meta["facts"]) if whole else None
        if entry is not None:
            for name in meta["sizes"]:
                if name.endswith(".npy"):
                    entry.array(name.removesuffix(".npy"))
        return entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
