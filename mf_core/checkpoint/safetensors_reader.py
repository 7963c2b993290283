"""The tensors that safetensors files hold: known from the files' headers, mapped when they are read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FileMissingError, IntegrityError, UnsupportedError, WeightsError, describe
from ..hub.source import stays_inside
from ..utils.files import ADAPTER_FILE
from .shards import INDEX_FILE, KINDS, WEIGHTS_FILE

_TYPES = {kind: dtype for dtype, kind in KINDS.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        name: What it is called there.
        shape: Its shape.
        kind: What safetensors calls its type, ``"F32"``.
        start: Where in the file its values begin, in bytes.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    start: int

    @property
    def dtype(self) -> str:
        """What numpy calls the type of :meth:`read`'s array; raise WeightsError where numbers of it are not read."""
        if self.kind not in (*_TYPES, "BF16"):
            raise WeightsError(
                f"{self.name!r} in {self.path} is of the type {self.kind}, which is not read", value=self.name,
                hint=f"save it in one of: {', '.join(_TYPES)}, BF16",
            )  # fmt: skip
        return _TYPES.get(self.kind, "float32")

    def read(self) -> np.ndarray:
        """Return the values, mapped copy-on-write; bfloat16 as fp32, which holds the same numbers."""
        own = "uint16" if self.kind == "BF16" else self.dtype
        size = np.dtype(own).itemsize * math.prod(self.shape)
        if not size:  # nothing cannot be mapped
            return np.empty(self.shape, self.dtype)
        raw = np.memmap(self.path, np.uint8, "c", self.start, (size,))
        array = np.require(raw.view(own), requirements="A").reshape(self.shape)  # a header may be of any length
        return (array.astype(np.uint32) << 16).view(np.float32) if self.kind == "BF16" else np.asarray(array)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return what a file holds, by name, in its order; only its header is read.

    Raises:
        FileMissingError: There is no such file.
        IntegrityError: It is truncated, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileMissingError(f"there is no file {str(path)!r}", value=str(path))
    try:
        with safe_open(str(path), framework="np"):
            pass  # the library checks the header, the offsets and the file's size
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{path} is not a whole safetensors file", value=str(path), why=str(error),
            hint="copy or save it again, or use another checkpoint",
        ) from error  # fmt: skip
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(path, name, tuple(info["shape"]), info["dtype"], 8 + length + info["data_offsets"][0])
        for name, info in header.items()
    }


def stored_weights(folder: Path) -> dict[str, StoredTensor]:
    """Return the weights of a folder in the whole form: of the single file, or of all that its index names.

    Raises:
        FileMissingError: It has none, or lacks a file that the index names.
        UnsupportedError: It holds adapters alone.
        IntegrityError: A file is broken, or lacks a tensor that the index says it has.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return stored_tensors(folder / WEIGHTS_FILE)
    index = folder / INDEX_FILE
    if (folder / ADAPTER_FILE).is_file() and not index.is_file():
        raise UnsupportedError(
            f"{str(folder)!r} holds adapters, which no layout splits", value=str(folder),
            hint="name the folder of the model that they are for",
        )  # fmt: skip
    if not index.is_file():
        raise FileMissingError(
            f"{str(folder)!r} has no {WEIGHTS_FILE} and no {INDEX_FILE}", value=str(folder),
            why=None if folder.is_dir() else "there is no such folder",
            hint="name the folder of a model, or of a checkpoint of a run",
        )  # fmt: skip
    try:
        files: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not files or not all(isinstance(file, str) and stays_inside(file) for file in files.values()):
            raise ValueError("its weight_map is no mapping of tensors to files of the folder")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{index} is not an index of shards", value=str(index), why=describe(error)) from error
    found: dict[str, StoredTensor] = {}
    for file in dict.fromkeys(files.values()):
        found.update(stored_tensors(folder / file))
    lost = next((name for name in files if name not in found), None)
    if lost is not None:
        raise IntegrityError(
            f"{folder / files[lost]} lacks {lost!r}, which {INDEX_FILE} says it has", value=lost,
            hint="copy or save the model again",
        )  # fmt: skip
    return found
