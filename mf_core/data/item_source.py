"""Records of an object in memory that has ``__len__`` and ``__getitem__``."""

from __future__ import annotations

from typing import Any

from .record_source import Former, Record, Source


class Items(Source):
    """The items of a list, an array of rows or a map-style dataset; each is asked for when it is needed.

    Args:
        items: The object.
        name: What messages call it.
    """

    def __init__(self, items: Any, name: str) -> None:
        super().__init__(name)
        self.items = items
        self._former = Former(name)

    def __len__(self) -> int:
        """See the base class."""
        return len(self.items)

    def read(self, index: int) -> Record:
        """See the base class."""
        return self._former.record(self.items[index], self.place(index))

    def place(self, index: int) -> str:
        """See the base class."""
        return f"{self.name}, record {index}"
