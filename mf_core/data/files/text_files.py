"""Records of text files: ``.jsonl``, a record a line, and ``.txt``, documents with blank lines between them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import weakref
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...hub.cache import sha256_of
from ..prepared_cache import entry_of
from ..record_source import Former, Record, Source

_BOM = b"\xef\xbb\xbf"


class Texts(Source):
    """Text files, which may be larger than memory: what is kept of them is where each record begins.

    Args:
        paths: The files; one that ends in ``.gz`` is unpacked into the cache when it is read.
        lines: Whether each line is a record, as in ``.jsonl``.
    """

    def __init__(self, paths: Sequence[Path], *, lines: bool) -> None:
        super().__init__(str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more")
        self.paths, self.lines = list(paths), lines
        self._former = Former(self.name)
        self._index: list[tuple[array[int], array[int], array[int]]] | None = None
        self._ends: list[int] = []
        self._handle: tuple[int, int, weakref.finalize] | None = None
        self._plain: dict[Path, Path] = {}

    def __len__(self) -> int:
        """See the base class."""
        self._indexed()
        return self._ends[-1]

    def read(self, index: int) -> Record:
        """See the base class."""
        file, position = self._find(index)
        starts, lengths, lines = self._indexed()[file]
        data = os.pread(self._open(file), lengths[position], starts[position])
        return self._parse(data, f"{self.paths[file]}:{lines[position]}")

    def place(self, index: int) -> str:
        """See the base class."""
        file, position = self._find(index)
        return f"{self.paths[file]}:{self._indexed()[file][2][position]}"

    def walk(self) -> Iterator[tuple[str, Record | DataError]]:
        """See the base class."""
        for path in self.paths:
            for _, line, data in self._blocks(path):
                place = f"{path}:{line}"
                try:
                    found: Record | DataError = self._parse(data, place)
                except DataError as error:
                    found = error
                yield place, found

    def update(self, digest: Any) -> None:
        """See the base class; this goes by the files' bytes."""
        digest.update(b"lines" if self.lines else b"documents")
        for path in self.paths:
            digest.update(bytes.fromhex(sha256_of(path)) + (b"gz" if path.suffix == ".gz" else b""))

    def _blocks(self, path: Path) -> Iterator[tuple[int, int, bytes]]:
        """Yield offset, first line's number and bytes of each line that is not blank, or of each run of such lines."""
        start = offset = first = 0
        block: list[bytes] = []
        with self._unpacked(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1 and line.startswith(_BOM):
                    offset, line = len(_BOM), line[len(_BOM) :]
                blank = not line.strip()
                if block and blank:
                    yield start, first, b"".join(block)
                    block = []
                if not blank and self.lines:
                    yield offset, number, line
                elif not blank:
                    if not block:
                        start, first = offset, number
                    block.append(line)
                offset += len(line)
        if block:
            yield start, first, b"".join(block)

    def _parse(self, data: bytes, place: str) -> Record:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{place} is not UTF-8 text", value=data[:80], why=str(error)) from error
        if not self.lines:
            return self._former.record(text.replace("\r\n", "\n").strip(), place)
        why = None
        try:
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            item, why = None, str(error)
        record = self._former.from_mapping(item, place) if isinstance(item, Mapping) else None
        if record is None:
            has = f"it has: {', '.join(map(repr, item)) or 'no keys'}" if isinstance(item, Mapping) else None
            raise DataError(
                f"{place} is not a JSON object with the key 'text', or 'prompt' and 'completion'", value=text[:80],
                why=why or has or f"it is a {type(item).__name__}",
            )
        return record

    def _indexed(self) -> list[tuple[array[int], array[int], array[int]]]:
        if self._index is None:
            index, ends, total = [], [], 0
            for path in self.paths:
                starts, lengths, lines = array("q"), array("q"), array("q")
                for start, line, data in self._blocks(path):
                    starts.append(start)
                    lengths.append(len(data))
                    lines.append(line)
                index.append((starts, lengths, lines))
                total += len(starts)
                ends.append(total)
            self._index, self._ends = index, ends
        return self._index

    def _find(self, index: int) -> tuple[int, int]:
        self._indexed()
        file = bisect_right(self._ends, index)
        return file, index - (self._ends[file - 1] if file else 0)

    def _open(self, file: int) -> int:
        """Return a descriptor of a file; one is open at a time."""
        if self._handle is None or self._handle[0] != file:
            if self._handle is not None:
                self._handle[2]()
            descriptor = os.open(self._unpacked(self.paths[file]), os.O_RDONLY)
            self._handle = (file, descriptor, weakref.finalize(self, os.close, descriptor))
        return self._handle[1]

    def _unpacked(self, path: Path) -> Path:
        """Return the file itself, or its unpacked copy in the cache."""
        if path not in self._plain:
            self._plain[path] = _unpack(path) if path.suffix == ".gz" else path
        return self._plain[path]


def _unpack(path: Path) -> Path:
    def fill(folder: Path) -> dict[str, Any]:
        try:
            with gzip.open(path) as packed, (folder / "data").open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is truncated or corrupt", value=str(path), why=str(error)) from error
        return {}

    return entry_of(f"gz {sha256_of(path)}", fill).folder / "data"
