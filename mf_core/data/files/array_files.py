"""Records of files of ids: ``.npy``, and what MindRecord and TFRecord files hold, in the cache."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..record_source import COLUMNS, Former, Record, Source
from .convert import convert


@dataclass(frozen=True)
class Part:
    """The records of one file.

    Attributes:
        path: The file.
        count: How many there are.
        first: Where they begin in the columns.
        columns: For each column its values: of row i, ``values[i]``, or ``values[ends[i - 1]:ends[i]]``.
        ends: Where each row ends, for columns whose rows follow one another in one dimension.
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


class Arrays(Source):
    """The rows of files of ids, one file after the other; mapped into memory, so that they may be larger.

    Args:
        paths: The files, of one kind.
        kind: ``"npy"``, ``"mindrecord"`` or ``"tfrecord"``.

    Raises:
        DataError: A file is truncated, corrupt, or has no ids; it is named.
    """

    def __init__(self, paths: Sequence[Path], kind: str) -> None:
        super().__init__(str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more")
        self._parts = [_npy(path) for path in paths] if kind == "npy" else self._converted(paths, kind)
        self._ends = np.cumsum([part.count for part in self._parts]).tolist()

    def __len__(self) -> int:
        """See the base class."""
        return int(self._ends[-1])

    def read(self, index: int) -> Record:
        """See the base class."""
        part, position = self._find(index)
        return part.row(position)

    def place(self, index: int) -> str:
        """See the base class."""
        part, position = self._find(index)
        return f"{part.path}, record {position}"

    def _converted(self, paths: Sequence[Path], kind: str) -> list[Part]:
        """Return the records of MindRecord or TFRecord files, which are read once and kept in the cache."""
        entry = convert(paths, kind)
        Former(self.name).leave(entry.facts["others"])
        names = [name for name in COLUMNS if entry.has(name)]
        columns = {name: entry.array(name) for name in names}
        ends = {name: entry.array(f"{name}_ends") for name in names}
        counts = entry.facts["counts"]
        starts = itertools.accumulate(counts, initial=0)
        return [Part(path, count, first, columns, ends)
                for path, count, first in zip(paths, counts, starts, strict=False)]  # fmt: skip

    def _find(self, index: int) -> tuple[Part, int]:
        number = bisect_right(self._ends, index)
        return self._parts[number], index - (self._ends[number - 1] if number else 0)


def _npy(path: Path) -> Part:
    try:
        rows: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{path} is not a .npy file of ids, or is truncated", value=str(path), why=str(error)
        ) from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "iu":
        shape = f"{rows.dtype}{list(rows.shape)}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DataError(
            f"{path} holds {shape}, not whole numbers of two dimensions", value=str(path), hint="(rows, ids per row)"
        )
    return Part(path, len(rows), 0, {"input_ids": np.asarray(rows)}, {})
