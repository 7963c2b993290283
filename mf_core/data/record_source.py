"""What records are read from, and the forms that a record may have."""

from __future__ import annotations

import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from ..errors import DataError

#: ``{"text": …}``, ``{"prompt": …, "completion": …}``, or ``{"input_ids": …}`` with the columns below if it has them.
Record = dict[str, Any]
Kind = Literal["text", "pair", "ids"]
T = TypeVar("T", covariant=True)

#: The columns of a record of ids that are read; others are left aside.
COLUMNS = ("input_ids", "loss_mask", "segment_ids")

#: What a kind of record holds, in messages.
HOLDS: dict[Kind, str] = {"text": "'text'", "pair": "'prompt' and 'completion'", "ids": "ids"}


class LazySequence(Sequence[T]):
    """A sequence that makes its items when they are asked for; a subclass has ``__len__`` and ``item``."""

    @abstractmethod
    def item(self, index: int) -> T:
        """Return the item at ``0 <= index < len(self)``."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return an item; a list of them for a slice."""
        if isinstance(index, slice):
            return [self.item(i) for i in range(*index.indices(len(self)))]
        number, length = operator.index(index), len(self)
        if not -length <= number < length:
            raise IndexError(f"there is no item {number} of {length}")
        return self.item(number % length)


class Source(ABC):
    """Where records come from.

    Args:
        name: What messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of records, bad ones included."""

    @abstractmethod
    def read(self, index: int) -> Record:
        """Return one record; raise DataError where it is none."""

    @abstractmethod
    def place(self, index: int) -> str:
        """Return where a record stands, for messages."""

    def walk(self) -> Iterator[tuple[str, Record | DataError]]:
        """Yield place and record, or what is wrong with it, of each in turn."""
        for index in range(len(self)):
            place = self.place(index)
            try:
                found: Record | DataError = self.read(index)
            except DataError as error:
                found = error
            yield place, found

    def update(self, digest: Any) -> None:
        """Feed what the records of text hold to a hash of ``hashlib``."""
        for _, found in self.walk():
            if isinstance(found, DataError):
                digest.update(b"bad")
                continue
            for key, text in found.items():
                data = str(text).encode()
                digest.update(f"{key} {len(data)} ".encode() + data)


class Former:
    """Makes records of what users' datasets and files hold, and warns once of columns that it leaves aside.

    Args:
        name: What messages call the dataset.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._warned = False

    def record(self, item: Any, place: str) -> Record:
        """Return the record that ``item`` is: a text, a mapping, or a row of ids, which is not looked into.

        Raises:
            DataError: It is a mapping without the keys of a record, or its texts are none.
        """
        if isinstance(item, str):
            return {"text": _text(item, "the text", place)}
        if not isinstance(item, Mapping):
            return {"input_ids": item}
        found = self.from_mapping(item, place)
        if found is None:
            raise not_a_row(item, place)
        return found

    def from_mapping(self, item: Mapping[str, Any], place: str) -> Record | None:
        """Return the record that a mapping is; None where it has not the keys of one."""
        pair = "prompt" in item and "completion" in item
        if sum((pair, "text" in item, "input_ids" in item)) > 1:
            raise DataError(
                f"{place} is ambiguous: it has the keys {', '.join(map(repr, item))}", value=list(item),
                hint="leave one of 'text', 'prompt' with 'completion', and 'input_ids'",
            )
        if "text" in item:
            return {"text": _text(item["text"], "'text'", place)}
        if pair:
            return {key: _text(item[key], repr(key), place) for key in ("prompt", "completion")}
        if "input_ids" in item:
            self.leave(sorted(set(item) - set(COLUMNS)))
            return {key: item[key] for key in COLUMNS if key in item}
        return None

    def leave(self, columns: Sequence[str]) -> None:
        """Warn, once, of columns that are not read."""
        if columns and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name}: the columns {', '.join(columns)} are not read; those that are: {', '.join(COLUMNS)}",
                stacklevel=2,
            )


def kind_of(record: Record) -> Kind:
    """Return the kind of a record."""
    return "ids" if "input_ids" in record else "text" if "text" in record else "pair"


def not_a_row(item: Any, place: str) -> DataError:
    """Return the error for what is neither text nor a row of ids."""
    return DataError(
        f"{place} is not a row of at least two ids: {str(item)[:80]!r}", value=place,
        hint="a record is a text, an array of ids, or a dict with the key 'input_ids', 'text', or 'prompt' and "
        "'completion'",
    )


def _text(value: Any, what: str, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: {what} is a {type(value).__name__}, not a string", value=value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: {what} holds a lone surrogate at character {error.start}, which is no Unicode text",
            value=place, hint="decode the bytes it came from as UTF-8",
        ) from error
    return value
