"""Records of files of ids: ``.npy``, and MindRecord and TFRecord files, whose columns are kept in the cache."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...hub.cache import sha256_of
from ..record_source import COLUMNS, Record, RecordParser, RecordSource
from .convert import convert


@dataclass(frozen=True)
class ArrayFile:
    """The records of one file.

    Attributes:
        path: The file.
        count: Their number.
        first: The index of the first of them in the columns.
        columns: The values of each column: row i is ``values[i]``, or ``values[ends[i - 1]:ends[i]]``.
        ends: The end of each row, for columns whose rows are concatenated in one dimension.
    """

    path: Path
    count: int
    first: int
    columns: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]

    def row(self, index: int) -> Record:
        """Return the record at ``index``."""
        row, found = self.first + index, {}
        for name, values in self.columns.items():
            ends = self.ends.get(name)
            found[name] = values[row] if ends is None else values[int(ends[row - 1]) if row else 0 : int(ends[row])]
        return found


class ArrayFiles(RecordSource):
    """The rows of files of ids, one file after the other, mapped into memory.

    Args:
        paths: The files, of one kind.
        kind: ``"npy"``, ``"mindrecord"`` or ``"tfrecord"``.
        parser: Names the dataset, and warns about columns that are not read.

    Raises:
        DataError: A file is truncated, corrupt, or has no ids; it is named.
    """

    def __init__(self, paths: Sequence[Path], kind: str, parser: RecordParser) -> None:
        super().__init__(parser)
        self._paths = list(paths)
        self._parts = [_npy(path) for path in paths] if kind == "npy" else self._converted(paths, kind)
        self._ends = np.cumsum([part.count for part in self._parts]).tolist()

    def __len__(self) -> int:
        """See the base class."""
        return int(self._ends[-1])

    def read(self, index: int) -> Record:
        """See the base class."""
        part, position = self._find(index)
        return part.row(position)

    def location(self, index: int) -> str:
        """See the base class."""
        part, position = self._find(index)
        return f"{part.path}, record {position}"

    def update(self, digest: Any) -> bool:
        """See the base class; the digest is that of the files' bytes."""
        digest.update(b"ids ")
        for path in self._paths:
            digest.update(bytes.fromhex(sha256_of(path)))
        return True

    def _converted(self, paths: Sequence[Path], kind: str) -> list[ArrayFile]:
        """Return the records of MindRecord or TFRecord files, which are read once and kept in the cache."""
        entry = convert(paths, kind)
        self.parser.warn_unread(entry.facts["others"], COLUMNS)
        names = [name for name in COLUMNS if entry.has(name)]
        columns = {name: entry.array(name) for name in names}
        ends = {name: entry.array(f"{name}_ends") for name in names}
        counts = entry.facts["counts"]
        starts = itertools.accumulate(counts, initial=0)
        return [ArrayFile(path, count, first, columns, ends)
                for path, count, first in zip(paths, counts, starts, strict=False)]  # fmt: skip

    def _find(self, index: int) -> tuple[ArrayFile, int]:
        number = bisect_right(self._ends, index)
        return self._parts[number], index - (self._ends[number - 1] if number else 0)


def _npy(path: Path) -> ArrayFile:
    try:
        rows: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{path} is not a .npy file of ids, or is truncated", value=str(path), why=str(error)
        ) from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "iu":
        shape = f"{rows.dtype}{list(rows.shape)}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DataError(
            f"{path} holds {shape}, not a two-dimensional array of whole numbers", value=str(path),
            hint="(rows, ids per row)",
        )  # fmt: skip
    return ArrayFile(path, len(rows), 0, {"input_ids": np.asarray(rows)}, {})
