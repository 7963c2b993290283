"""Where records are read from, and the forms that a record may have."""

from __future__ import annotations

import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from ..errors import DataError
from .digest import update_digest

#: ``{"text": …}``, ``{"prompt": …, "completion": …}``, ``{"input_ids": …}`` with the columns below where it has them,
#: or the fields that the task asked for, such as ``{"text": …, "label": …}``.
Record = dict[str, Any]
Kind = Literal["text", "pair", "ids", "fields"]
T = TypeVar("T", covariant=True)

#: The columns that are read of a record of ids.
COLUMNS = ("input_ids", "loss_mask", "segment_ids")

#: What a kind of record has, in messages.
HOLDS: dict[Kind, str] = {"text": "'text'", "pair": "'prompt' and 'completion'", "ids": "ids", "fields": "fields"}


class LazySequence(Sequence[T]):
    """A sequence whose items are made on access; a subclass has ``__len__`` and ``item``."""

    @abstractmethod
    def item(self, index: int) -> T:
        """Return the item at ``0 <= index < len(self)``."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return an item; a list of items for a slice."""
        if isinstance(index, slice):
            return [self.item(i) for i in range(*index.indices(len(self)))]
        number, length = operator.index(index), len(self)
        if not -length <= number < length:
            raise IndexError(f"there is no item {number} of {length}")
        return self.item(number % length)


class RecordParser:
    """Makes records of the items of datasets and files; warns once about columns that are not read.

    Args:
        name: The dataset's name in messages.
        fields: The fields of a record that the task needs; none: a record is a text, a prompt with its completion, or
            a row of ids.
        optional: Fields that are read where a record has them.
    """

    def __init__(self, name: str, fields: Sequence[str] = (), optional: Sequence[str] = ()) -> None:
        self.name, self.fields, self.optional = name, tuple(fields), tuple(optional)
        self._warned = False

    def record(self, item: Any, location: str) -> Record:
        """Return the record of ``item``: a text, a mapping, or a row of ids, which is not validated here.

        Raises:
            DataError: It is a mapping without the keys of a record, or a text in it is not a string.
        """
        if isinstance(item, str) and not self.fields:
            return {"text": _text(item, "the text", location)}
        if not isinstance(item, Mapping):
            if self.fields:
                raise DataError(
                    f"{location} is a {type(item).__name__}, not a mapping with {_quoted(self.fields)}",
                    value=location, hint="give dicts, or a .jsonl or .csv file",
                )  # fmt: skip
            return {"input_ids": item}
        found = self.from_mapping(item, location)
        if found is None:
            raise not_a_row(item, location)
        return found

    def kind_of(self, record: Record) -> Kind:
        """Return the kind of a record that this parser made."""
        if self.fields:
            return "fields"
        return "ids" if "input_ids" in record else "text" if "text" in record else "pair"

    def from_mapping(self, item: Mapping[str, Any], location: str) -> Record | None:
        """Return the record of a mapping; None if it lacks the keys of one."""
        if self.fields:
            return self._chosen(item, location)
        pair = "prompt" in item and "completion" in item
        if sum((pair, "text" in item, "input_ids" in item)) > 1:
            raise DataError(
                f"{location} is ambiguous: it has the keys {_quoted(item)}", value=list(item),
                hint="keep one of 'text', 'prompt' with 'completion', and 'input_ids'",
            )  # fmt: skip
        if "input_ids" in item:
            self.warn_unread(item, COLUMNS)
            return {key: item[key] for key in COLUMNS if key in item}
        keys = ("text",) if "text" in item else ("prompt", "completion") if pair else ()
        if not keys:
            return None
        self.warn_unread(item, keys)
        return {key: _text(item[key], repr(key), location) for key in keys}

    def _chosen(self, item: Mapping[str, Any], location: str) -> Record:
        missing = [name for name in self.fields if item.get(name) is None]
        if missing:
            raise DataError(
                f"{location} has no {_quoted(missing)}; it has: {_quoted(item) or 'nothing'}", value=list(item),
                hint=f"a record has {_quoted(self.fields)}",
            )  # fmt: skip
        known = (*self.fields, *self.optional)
        self.warn_unread(item, known)
        found = {name: item[name] for name in known if item.get(name) is not None}
        return {k: _text(v, repr(k), location) if isinstance(v, str) else v for k, v in found.items()}

    def warn_unread(self, columns: Iterator[str] | Sequence[str] | Mapping[str, Any], read: Sequence[str]) -> None:
        """Warn, once, about columns that are not in ``read``."""
        unread = [] if self._warned else sorted(set(columns) - set(read))
        if unread:
            self._warned = True
            warnings.warn(
                f"{self.name}: the columns {', '.join(unread)} are not read; those that are: {', '.join(read)}",
                stacklevel=2,
            )


class RecordSource(ABC):
    """Records with a length and random access, bad ones included.

    Args:
        parser: Makes the records; its name is that of the dataset in messages.
    """

    def __init__(self, parser: RecordParser) -> None:
        self.parser, self.name = parser, parser.name

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of records, bad ones included."""

    @abstractmethod
    def read(self, index: int) -> Record:
        """Return one record; raise DataError if it is malformed."""

    @abstractmethod
    def location(self, index: int) -> str:
        """Return where a record is, for messages."""

    def walk(self) -> Iterator[tuple[str, Record | DataError]]:
        """Yield the location of each record, with the record or the error that reading it raised."""
        for index in range(len(self)):
            location = self.location(index)
            try:
                found: Record | DataError = self.read(index)
            except DataError as error:
                found = error
            yield location, found

    def update(self, digest: Any) -> bool:
        """Feed the records to a hash of ``hashlib``.

        Returns:
            False if the content cannot be hashed, as that of objects of unknown types.
        """
        return all(
            update_digest(digest, "bad" if isinstance(found, DataError) else found) for _, found in self.walk()
        )


def not_a_row(item: Any, location: str) -> DataError:
    """Return the error for an item that is neither text nor a row of ids."""
    return DataError(
        f"{location} is not a row of at least two ids: {str(item)[:80]!r}", value=location,
        hint="a record is a text, an array of ids, or a dict with the key 'input_ids', 'text', or 'prompt' and "
        "'completion'",
    )  # fmt: skip


def _quoted(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names))


def _text(value: Any, what: str, location: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{location}: {what} is a {type(value).__name__}, not a string", value=value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{location}: {what} contains a lone surrogate at character {error.start}, which is not Unicode text",
            value=location, hint="decode the bytes it came from as UTF-8",
        ) from error  # fmt: skip
    return value
