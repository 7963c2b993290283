"""Records of an object in memory that has ``__len__`` and ``__getitem__``."""

from __future__ import annotations

from typing import Any

from .digest import update_with_items
from .record_source import Record, RecordParser, RecordSource


class ItemSource(RecordSource):
    """The items of a list, an array of rows or a map-style dataset, read on access.

    Args:
        items: The object.
        parser: Makes records of the items.
    """

    def __init__(self, items: Any, parser: RecordParser) -> None:
        super().__init__(parser)
        self.items = items

    def __len__(self) -> int:
        """See the base class."""
        return len(self.items)

    def read(self, index: int) -> Record:
        """See the base class."""
        return self.parser.record(self.items[index], self.location(index))

    def location(self, index: int) -> str:
        """See the base class."""
        return f"{self.name}, record {index}"

    def sample(self, digest: Any) -> bool:
        """Feed the items to a hash: all of a list or an array, a sample of those that are made on access."""
        return update_with_items(digest, self.items)
