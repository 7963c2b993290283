"""The records of a dataset: a sequence, or a stream without a length."""

from __future__ import annotations

import hashlib
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import DataError, MFError
from .record_source import HOLDS, Former, Kind, LazySequence, Record, Source, kind_of

T = TypeVar("T")
R = TypeVar("R")
Check = Callable[[Record, str], T]


class Faults:
    """Counts the bad records of one pass, or raises the first.

    Args:
        name: What messages call the dataset.
        skip: Whether bad records are left out.
    """

    def __init__(self, name: str, skip: bool) -> None:
        self.name, self.skip = name, skip
        self.count = 0
        self.first: MFError | None = None

    def add(self, fault: MFError) -> None:
        """Take note of a bad record; raise its error where bad records are not left out."""
        if not self.skip:
            raise fault
        self.count += 1
        self.first = self.first or fault

    def settle(self, good: int, *, warn: bool = True) -> None:
        """End a pass that found ``good`` records, with a warning of those left out.

        Raises:
            DataError: There were none. The first bad one's error, where all were bad.
        """
        if not good and self.first is not None:
            raise self.first
        if not good:
            raise DataError(f"{self.name} is empty", value=self.name)
        if warn:
            warn_skipped(self.name, self.count, self.what)

    @property
    def what(self) -> str:
        """What is wrong with the first bad record; empty where there is none."""
        return "" if self.first is None else self.first.what


def warn_skipped(name: str, count: int, first: str) -> None:
    """Warn that bad records were left out."""
    if count:
        warnings.warn(f"{name}: {count} bad records are left out; the first: {first}", stacklevel=2)


class Records(LazySequence[Record]):
    """The records of files, or of an object that has a length.

    Nothing is read before it is needed. A bad record raises DataError when it is read; with ``skip`` it is left out,
    which takes one pass over the data before the first record or the length can be given.

    Args:
        source: What they are read from.
        skip: Whether bad records are left out.
    """

    def __init__(self, source: Source, *, skip: bool) -> None:
        self.source, self.skip = source, skip
        #: How many bad records were left out; 0 until the data has been gone through.
        self.skipped = 0
        #: What is wrong with the first of them.
        self.first_skipped = ""
        self._kept: array[int] | None = None
        self._kind: Kind | None = None

    @property
    def name(self) -> str:
        """What messages call it: the path, or the argument's name."""
        return self.source.name

    @property
    def kind(self) -> Kind:
        """``"text"``, ``"pair"`` (prompt and completion) or ``"ids"``: what the first good record is.

        Raises:
            DataError: There is no record, or the first is bad.
        """
        if self._kind is None:
            faults = Faults(self.name, self.skip)
            for _, found in self.source.walk():
                if isinstance(found, DataError):
                    faults.add(found)
                else:
                    self._kind = kind_of(found)
                    break
            else:
                faults.settle(0)
        assert self._kind is not None
        return self._kind

    def __len__(self) -> int:
        """Return the number of records; of good ones where bad ones are left out."""
        return len(self._good()) if self.skip else len(self.source)

    def item(self, index: int) -> Record:
        """Return a record."""
        number = self._number(index)
        return self._of_one_kind(self.source.read(number), self.source.place(number))

    def place(self, index: int) -> str:
        """Return where a record stands: ``"data.jsonl:2"``, ``"train_dataset, record 3"``."""
        return self.source.place(self._number(index))

    def walk(self) -> Iterator[tuple[str, Record]]:
        """Yield place and record of each good one. The end of the pass sets ``skipped``.

        Raises:
            DataError: A record is bad and not to be left out, or there is none.
        """
        return self.checked(lambda record, _: record)

    def checked(self, check: Check[T]) -> Iterator[tuple[str, T]]:
        """Yield place and ``check(record, place)`` of each; what it raises makes a record a bad one."""
        kept, faults, good = array("q"), Faults(self.name, self.skip), 0
        for number, (place, found) in enumerate(self.source.walk()):
            try:
                if isinstance(found, DataError):
                    raise found
                result = check(self._of_one_kind(found, place), place)
            except MFError as fault:
                faults.add(fault)
                continue
            good += 1
            if self.skip:
                kept.append(number)
            yield place, result
        faults.settle(good, warn=self._kept is None)
        if self._kept is None and self.skip:
            self._kept, self.skipped, self.first_skipped = kept, faults.count, faults.what

    def passing(self, check: Check[Any]) -> Records:
        """Return the records that pass ``check``, in one pass over the data; its errors make a record a bad one."""
        found = Records(self.source, skip=True)
        for _ in found.checked(check):
            pass
        return found

    def digest(self) -> str:
        """Return a SHA-256 of what the records hold, and of whether bad ones are left out."""
        digest = hashlib.sha256(b"skip" if self.skip else b"error")
        self.source.update(digest)
        return digest.hexdigest()

    def _good(self) -> array[int]:
        if self._kept is None:
            for _ in self.walk():
                pass
        assert self._kept is not None
        return self._kept

    def _number(self, index: int) -> int:
        return self._good()[index] if self.skip else index

    def _of_one_kind(self, record: Record, place: str) -> Record:
        self._kind = _same_kind(record, self._kind or self.kind, place)
        return record


class RecordStream(Iterable[tuple[str, Record]]):
    """The records of an iterable without a length.

    Args:
        iterable: What they come from. One that is its own iterator, such as a generator, can be gone through once.
        name: What messages call it.
        skip: Whether bad records are left out.
    """

    def __init__(self, iterable: Iterable[Any], name: str, *, skip: bool) -> None:
        self.iterable, self.name, self.skip = iterable, name, skip
        #: How many bad records the last whole pass left out.
        self.skipped = 0
        self._begun: Iterator[Any] = iter(iterable)
        #: Whether it can be gone through more than once.
        self.repeatable = self._begun is not iterable
        self._head: list[Any] = []
        self._spent = False
        self._former = Former(name)
        self._kind: Kind | None = None

    @property
    def kind(self) -> Kind:
        """See :attr:`Records.kind`. Items up to the first good one are read, and not lost."""
        if self._kind is None:
            faults = Faults(self.name, self.skip)
            for number, item in enumerate(self._begun):
                self._head.append(item)
                try:
                    self._kind = kind_of(self._former.record(item, self._place(number)))
                    break
                except DataError as fault:
                    faults.add(fault)
            else:
                faults.settle(0)
        assert self._kind is not None
        return self._kind

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Yield place and record of each good one."""
        return self.checked(lambda record, _: record)

    def walk(self) -> Iterator[tuple[str, Record]]:
        """Yield place and record of each good one, as for :class:`Records`."""
        return iter(self)

    def checked(self, check: Check[T]) -> Iterator[tuple[str, T]]:
        """Yield place and ``check(record, place)`` of each; what it raises makes a record a bad one.

        Raises:
            DataError: A record is bad and not to be left out, there is none, or the stream has been read before and
                cannot be read again.
        """
        kind = self.kind
        faults, good = Faults(self.name, self.skip), 0
        for number, item in enumerate(self._items()):
            place = self._place(number)
            try:
                record = self._former.record(item, place)
                _same_kind(record, kind, place)
                result = check(record, place)
            except MFError as fault:
                faults.add(fault)
                continue
            good += 1
            yield place, result
        faults.settle(good)
        self.skipped = faults.count

    def _items(self) -> Iterator[Any]:
        if self._spent and not self.repeatable:
            raise DataError(
                f"{self.name} has been read, and cannot be read again", value=self.name,
                why="it is an iterator, such as a generator",
                hint="give a list, or an object whose __iter__ starts anew",
            )
        if self._spent:
            yield from self.iterable
            return
        self._spent = True
        head, self._head = self._head, []
        yield from head
        yield from self._begun

    def _place(self, number: int) -> str:
        return f"{self.name}, record {number}"


class DerivedStream(Generic[R]):
    """Something made of each record of a stream; a subclass has ``__iter__``.

    Args:
        records: The stream.
    """

    def __init__(self, records: RecordStream) -> None:
        self.records = records

    @property
    def repeatable(self) -> bool:
        """Whether it can be gone through more than once."""
        return self.records.repeatable

    @property
    def skipped(self) -> int:
        """How many bad records the last whole pass left out."""
        return self.records.skipped

    def __iter__(self) -> Iterator[R]:
        """Yield what is made of the records."""
        raise NotImplementedError


def _same_kind(record: Record, kind: Kind, place: str) -> Kind:
    own = kind_of(record)
    if own != kind:
        raise DataError(f"{place} holds {HOLDS[own]}, and the first record holds {HOLDS[kind]}", value=place)
    return kind

