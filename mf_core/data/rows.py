"""Records of ids as rows, validated as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..boundary import public
from ..errors import DataError, InputTooLongError
from .item_source import ItemSource
from .record_source import LazySequence, Record, not_a_row
from .records import DerivedStream, Records, RecordStream

Row = dict[str, np.ndarray]

#: Lists up to this length are validated whole before the first row is returned.
_SMALL = 10_000


class RowValidator:
    """Makes a row of a record; all rows have ids of the vocabulary, and the length of the first.

    Args:
        vocab_size: Ids are below it.
        max_length: The largest number of ids of a row.
    """

    def __init__(self, vocab_size: int, max_length: int) -> None:
        self.vocab_size, self.max_length = vocab_size, max_length
        self._first: tuple[str, dict[str, int]] | None = None

    def __call__(self, record: Record, location: str) -> Row:
        """Return ``input_ids`` int32, and ``loss_mask`` uint8 and ``segment_ids`` int32 if the record has them.

        Raises:
            DataError: A column is not a row of whole numbers, an id is outside the vocabulary, or the record's columns
                or length are not those of the first.
            InputTooLongError: It has more than ``max_length`` ids.
        """
        ids = _array(record["input_ids"])
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.size < 2:
            raise not_a_row(record["input_ids"], location)
        if ids.size > self.max_length:
            raise InputTooLongError(
                f"{location} has {ids.size} ids; a row may have {self.max_length}, the model's context and one",
                value=ids.size,
            )
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise DataError(f"{location} has an id outside the vocabulary of {self.vocab_size}", value=location)
        row = {"input_ids": ids.astype(np.int32)}
        for name, most, dtype in (("loss_mask", 1, np.uint8), ("segment_ids", None, np.int32)):
            if name in record:
                row[name] = _column(record[name], name, ids.size, most, location).astype(dtype)
        self._like_the_first(row, location)
        return row

    def _like_the_first(self, row: Row, location: str) -> None:
        if self._first is None:
            self._first = (location, {name: column.size for name, column in row.items()})
        first, sizes = self._first
        file, _, number = first.rpartition(", ")
        if location.startswith(f"{file}, "):
            first = number
        size = row["input_ids"].size
        if size != sizes["input_ids"]:
            raise DataError(
                f"{location} has {size} ids, {first} has {sizes['input_ids']}", value=location,
                hint="give rows of one length, or texts, which are packed",
            )
        if list(row) != list(sizes):
            raise DataError(f"{location} has {', '.join(row)}, and {first} has {', '.join(sizes)}", value=location)


class Rows(LazySequence[Row]):
    """Rows, each validated on access.

    Args:
        records: Records of ids; if bad ones are left out, the good ones.
        check: Makes a row of a record.
    """

    def __init__(self, records: Records, check: RowValidator) -> None:
        self.records, self._check = records, check
        #: The number of bad records left out.
        self.skipped = records.skipped

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.records)

    def item(self, index: int) -> Row:
        """Return a row; raise DataError if its record is bad."""
        return self._check(self.records[index], self.records.location(index))

    def digest(self) -> str | None:
        """Return a digest of the rows' content; see :func:`mf_core.data.content_digest`."""
        return self.records.digest(sampled=True)


class RowStream(DerivedStream[Row]):
    """The rows of a stream, each validated as it is read.

    Args:
        records: A stream of ids.
        check: Makes a row of a record.
    """

    def __init__(self, records: RecordStream, check: RowValidator) -> None:
        super().__init__(records)
        self._check = check

    def __iter__(self) -> Iterator[Row]:
        """Yield each row; see :meth:`RecordStream.checked` for errors."""
        for _, row in self.records.checked(self._check):
            yield row


@public
def rows(records: Records | RecordStream, *, vocab_size: int, max_length: int) -> Rows | RowStream:
    """Return the rows of records of ids.

    Of a sequence the first record is validated here, and all of them if it is a short list or bad records are left
    out; the others are validated when they are read.

    Args:
        records: The result of :func:`open_records`, of the kind ``"ids"``.
        vocab_size: Ids are below it.
        max_length: The largest number of ids of a row.

    Returns:
        Dicts of ``input_ids`` (int32), and ``loss_mask`` (uint8) and ``segment_ids`` (int32) where the records have
        them, each of shape ``(n,)``, n being the first record's.

    Raises:
        DataError, InputTooLongError: See :class:`RowValidator`; also later, when a row is read.
    """
    if records.kind != "ids":
        raise DataError(f"{records.name} holds text, not ids", value=records.kind, hint="pack makes rows of it")
    check = RowValidator(vocab_size, max_length)
    if isinstance(records, RecordStream):
        return RowStream(records, check)
    if records.skip:
        return Rows(records.passing(check), check)
    made = Rows(records, check)
    items = records.source.items if isinstance(records.source, ItemSource) else None
    for index in range(len(made) if isinstance(items, (list, tuple)) and len(items) <= _SMALL else 1):
        made.item(index)
    return made


def _array(value: Any) -> np.ndarray:
    """Return a list, or an array or tensor of any library, as a numpy array; one of objects if that is impossible."""
    try:
        return np.asarray(value.asnumpy() if hasattr(value, "asnumpy") else value)
    except ValueError:  # rows of rows of unequal length
        return np.array(None)


def _column(value: Any, name: str, size: int, most: int | None, location: str) -> np.ndarray:
    column = _array(value)
    limit = 2**31 - 1 if most is None else most
    if column.shape != (size,) or column.dtype.kind not in "iub" or column.min() < 0 or column.max() > limit:
        what = "zeros and ones" if most == 1 else "whole numbers from 0"
        raise DataError(
            f"{location}: {name} is not {size} {what}, one for each id: {str(value)[:80]!r}", value=location
        )
    return column
