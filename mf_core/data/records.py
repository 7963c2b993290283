"""The records of a dataset: a sequence, or a stream without a length."""

from __future__ import annotations

import hashlib
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import DataError, MFError
from .item_source import ItemSource
from .record_source import HOLDS, Kind, LazySequence, Record, RecordParser, RecordSource

T = TypeVar("T")
R = TypeVar("R")
Validate = Callable[[Record, str], T]


class BadRecords:
    """Counts the bad records of one pass, or raises the first.

    Args:
        name: What messages call the dataset.
        skip: Whether bad records are left out.
    """

    def __init__(self, name: str, skip: bool) -> None:
        self.name, self.skip = name, skip
        self.count = 0
        self.first: MFError | None = None

    def add(self, error: MFError) -> None:
        """Count a bad record; raise its error unless bad records are left out."""
        if not self.skip:
            raise error
        self.count += 1
        self.first = self.first or error

    def settle(self, good: int, *, warn: bool = True) -> None:
        """End a pass that found ``good`` records, with a warning about those left out.

        Raises:
            DataError: There were no records. If all were bad, the first one's error.
        """
        if not good and self.first is not None:
            raise self.first
        if not good:
            raise DataError(f"{self.name} is empty", value=self.name)
        if warn:
            warn_skipped(self.name, self.count, self.what)

    @property
    def what(self) -> str:
        """The first bad record's message; empty if there was none."""
        return "" if self.first is None else self.first.what


def warn_skipped(name: str, count: int, first: str) -> None:
    """Warn that bad records were left out."""
    if count:
        warnings.warn(f"{name}: {count} bad records are left out; the first: {first}", stacklevel=2)


class Records(LazySequence[Record]):
    """The records of files, or of an object with a length.

    Records are read on access. A bad record raises DataError then; with ``skip`` bad records are left out, which needs
    one pass over the data before the first record or the length is known.

    Args:
        source: Reads the records.
        skip: Whether bad records are left out.
    """

    def __init__(self, source: RecordSource, *, skip: bool) -> None:
        self.source, self.skip = source, skip
        #: The number of bad records left out; 0 before the first pass over the data.
        self.skipped = 0
        #: The message of the first of them.
        self.first_skipped = ""
        self._kept: array[int] | None = None
        self._kind: Kind | None = None

    @property
    def name(self) -> str:
        """The dataset's name in messages: its path, or the argument's name."""
        return self.source.name

    @property
    def kind(self) -> Kind:
        """The kind of the first good record: ``"text"``, ``"pair"`` (prompt and completion) or ``"ids"``.

        ``"fields"`` where :func:`open_records` was given fields.

        Raises:
            DataError: There is no record, or the first is bad.
        """
        if self._kind is None:
            bad = BadRecords(self.name, self.skip)
            for _, found in self.source.walk():
                if isinstance(found, DataError):
                    bad.add(found)
                else:
                    self._kind = self.source.parser.kind_of(found)
                    break
            else:
                bad.settle(0)
        assert self._kind is not None
        return self._kind

    def __len__(self) -> int:
        """Return the number of records; of good ones where bad ones are left out."""
        return len(self._good()) if self.skip else len(self.source)

    def item(self, index: int) -> Record:
        """Return a record."""
        number = self._number(index)
        return self._of_one_kind(self.source.read(number), self.source.location(number))

    def location(self, index: int) -> str:
        """Return where a record is: ``"data.jsonl:2"``, ``"train_dataset, record 3"``."""
        return self.source.location(self._number(index))

    def walk(self) -> Iterator[tuple[str, Record]]:
        """Yield the location and the record of each good record. The end of the pass sets ``skipped``.

        Raises:
            DataError: A record is bad and ``skip`` is not set, or there are no records.
        """
        return self.checked(lambda record, _: record)

    def checked(self, check: Validate[T]) -> Iterator[tuple[str, T]]:
        """Yield location and ``check(record, location)`` of each record; a record for which it raises is bad."""
        kept, bad, good = array("q"), BadRecords(self.name, self.skip), 0
        for number, (location, found) in enumerate(self.source.walk()):
            try:
                if isinstance(found, DataError):
                    raise found
                result = check(self._of_one_kind(found, location), location)
            except MFError as error:
                bad.add(error)
                continue
            good += 1
            if self.skip:
                kept.append(number)
            yield location, result
        bad.settle(good, warn=self._kept is None)
        if self._kept is None and self.skip:
            self._kept, self.skipped, self.first_skipped = kept, bad.count, bad.what

    def passing(self, check: Validate[Any]) -> Records:
        """Return the records for which ``check`` raises no error; this takes one pass over the data."""
        found = Records(self.source, skip=True)
        for _ in found.checked(check):
            pass
        return found

    def digest(self, *, sampled: bool = False) -> str | None:
        """Return a SHA-256 of the records' content, and of whether bad ones are left out.

        Args:
            sampled: Read a sample of items that an object makes on access; see :func:`content_digest`.

        Returns:
            64 hexadecimal digits; None if the content cannot be hashed, as that of objects of unknown types.
        """
        digest = hashlib.sha256(b"skip" if self.skip else b"error")
        if sampled and isinstance(self.source, ItemSource):
            return digest.hexdigest() if self.source.sample(digest) else None
        return digest.hexdigest() if self.source.update(digest) else None

    def _good(self) -> array[int]:
        if self._kept is None:
            for _ in self.walk():
                pass
        assert self._kept is not None
        return self._kept

    def _number(self, index: int) -> int:
        return self._good()[index] if self.skip else index

    def _of_one_kind(self, record: Record, location: str) -> Record:
        _check_kind(self.source.parser.kind_of(record), self.kind, location)
        return record


class RecordStream(Iterable[tuple[str, Record]]):
    """The records of an iterable without a length, in its order.

    Args:
        iterable: Yields the items. One that is its own iterator, such as a generator, can be read once.
        parser: Makes records of the items.
        skip: Whether bad records are left out.
    """

    def __init__(self, iterable: Iterable[Any], parser: RecordParser, *, skip: bool) -> None:
        self.iterable, self.name, self.skip = iterable, parser.name, skip
        #: The number of bad records that the last whole pass left out.
        self.skipped = 0
        self._begun: Iterator[Any] = iter(iterable)
        #: Whether it can be read more than once.
        self.repeatable = self._begun is not iterable
        self._head: list[Any] = []
        self._spent = False
        self._parser = parser
        self._kind: Kind | None = None

    @property
    def kind(self) -> Kind:
        """See :attr:`Records.kind`. Items up to the first good one are read ahead."""
        if self._kind is None:
            bad = BadRecords(self.name, self.skip)
            for number, item in enumerate(self._begun):
                self._head.append(item)
                try:
                    self._kind = self._parser.kind_of(self._parser.record(item, self._location(number)))
                    break
                except DataError as error:
                    bad.add(error)
            else:
                bad.settle(0)
        assert self._kind is not None
        return self._kind

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Yield the location and the record of each good record."""
        return self.checked(lambda record, _: record)

    def walk(self) -> Iterator[tuple[str, Record]]:
        """Yield the same, as :meth:`Records.walk` does."""
        return iter(self)

    def checked(self, check: Validate[T]) -> Iterator[tuple[str, T]]:
        """Yield location and ``check(record, location)`` of each record; a record for which it raises is bad.

        Raises:
            DataError: A record is bad and ``skip`` is not set, there are no records, or the stream has been read before
                and cannot be read again.
        """
        kind = self.kind
        bad, good = BadRecords(self.name, self.skip), 0
        for number, item in enumerate(self._items()):
            location = self._location(number)
            try:
                record = self._parser.record(item, location)
                _check_kind(self._parser.kind_of(record), kind, location)
                result = check(record, location)
            except MFError as error:
                bad.add(error)
                continue
            good += 1
            yield location, result
        bad.settle(good)
        self.skipped = bad.count

    def _items(self) -> Iterator[Any]:
        if self._spent and not self.repeatable:
            raise DataError(
                f"{self.name} has been read, and cannot be read again", value=self.name,
                why="it is an iterator, such as a generator",
                hint="give a list, or an object whose __iter__ starts again",
            )
        if self._spent:
            yield from self.iterable
            return
        self._spent = True
        head, self._head = self._head, []
        yield from head
        yield from self._begun

    def _location(self, number: int) -> str:
        return f"{self.name}, record {number}"


class DerivedStream(Generic[R]):
    """Items made of a stream's records; a subclass has ``__iter__``.

    Args:
        records: The stream.
    """

    def __init__(self, records: RecordStream) -> None:
        self.records = records

    @property
    def repeatable(self) -> bool:
        """Whether it can be read more than once."""
        return self.records.repeatable

    @property
    def skipped(self) -> int:
        """The number of bad records that the last whole pass left out."""
        return self.records.skipped

    def __iter__(self) -> Iterator[R]:
        """Yield the items."""
        raise NotImplementedError


def _check_kind(kind: Kind, expected: Kind, location: str) -> None:
    if kind != expected:
        raise DataError(
            f"{location} holds {HOLDS[kind]}, and the first record holds {HOLDS[expected]}", value=location
        )  # fmt: skip
