"""Files of records that are found by their byte offsets: the files may be larger than memory."""

from __future__ import annotations

import gzip
import os
import shutil
import weakref
import zlib
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ...errors import DataError
from ...hub.cache import sha256_of
from ..prepared_cache import entry_of
from ..record_source import Record, RecordParser, RecordSource

_BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """The bytes of a record.

    Attributes:
        offset: Where they begin in the file.
        line: The number of their first line, from 1.
        data: The bytes.
    """

    offset: int
    line: int
    data: bytes


class IndexedFiles(RecordSource):
    """The records of text files; only their offsets are kept in memory.

    Args:
        paths: The files; one that ends in ``.gz`` is unpacked into the cache when it is read.
        parser: Makes records of what the files contain.
    """

    #: The kind of file, which is part of the digest.
    form: ClassVar[str]

    def __init__(self, paths: Sequence[Path], parser: RecordParser) -> None:
        super().__init__(parser)
        self.paths = list(paths)
        self._index: list[tuple[array[int], array[int], array[int]]] | None = None
        self._ends: list[int] = []
        self._handle: tuple[int, int, weakref.finalize] | None = None
        self._plain: dict[Path, Path] = {}

    @abstractmethod
    def blocks(self, path: Path) -> Iterator[Block]:
        """Yield the bytes of each record of a file."""

    @abstractmethod
    def parse(self, text: str, path: Path, location: str) -> Record:
        """Return the record of a block's text; raise DataError if it is malformed."""

    def __len__(self) -> int:
        """See the base class."""
        self._indexed()
        return self._ends[-1]

    def read(self, index: int) -> Record:
        """See the base class."""
        file, position = self._find(index)
        starts, lengths, lines = self._indexed()[file]
        data = os.pread(self._open(file), lengths[position], starts[position])
        return self._decoded(data, self.paths[file], lines[position])

    def location(self, index: int) -> str:
        """See the base class."""
        file, position = self._find(index)
        return f"{self.paths[file]}:{self._indexed()[file][2][position]}"

    def walk(self) -> Iterator[tuple[str, Record | DataError]]:
        """See the base class."""
        for path in self.paths:
            for block in self.blocks(path):
                try:
                    found: Record | DataError = self._decoded(block.data, path, block.line)
                except DataError as error:
                    found = error
                yield f"{path}:{block.line}", found

    def update(self, digest: Any) -> bool:
        """See the base class; the digest is that of the files' bytes."""
        digest.update(f"{self.form} {self.parser.fields} {self.parser.optional} ".encode())
        for path in self.paths:
            digest.update(bytes.fromhex(sha256_of(path)) + (b"gz" if is_gzip(path) else b""))
        return True

    def lines(self, path: Path) -> Iterator[Block]:
        """Yield the lines of a file, without its byte order mark."""
        offset = 0
        with self._unpacked(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1 and line.startswith(_BOM):
                    offset, line = len(_BOM), line[len(_BOM) :]
                yield Block(offset, number, line)
                offset += len(line)

    def _decoded(self, data: bytes, path: Path, line: int) -> Record:
        location = f"{path}:{line}"
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{location} is not UTF-8 text", value=data[:80], why=str(error)) from error
        return self.parse(text, path, location)

    def _indexed(self) -> list[tuple[array[int], array[int], array[int]]]:
        if self._index is None:
            index, ends, total = [], [], 0
            for path in self.paths:
                starts, lengths, lines = array("q"), array("q"), array("q")
                for block in self.blocks(path):
                    starts.append(block.offset)
                    lengths.append(len(block.data))
                    lines.append(block.line)
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
            self._plain[path] = _unpack(path) if is_gzip(path) else path
        return self._plain[path]


def is_gzip(path: Path) -> bool:
    """Return whether a file's name says that it is compressed."""
    return path.suffix.lower() == ".gz"


def _unpack(path: Path) -> Path:
    def fill(folder: Path) -> dict[str, Any]:
        try:
            with gzip.open(path) as packed, (folder / "data").open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is truncated or corrupt", value=str(path), why=str(error)) from error
        return {}

    return entry_of(f"gz {sha256_of(path)}", fill).folder / "data"
