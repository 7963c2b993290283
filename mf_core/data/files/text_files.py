"""Text files: ``.jsonl``, a record a line, and ``.txt``, documents with blank lines between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...errors import DataError
from ..record_source import Record
from .indexed_files import Block, IndexedFiles


class JsonLines(IndexedFiles):
    """``.jsonl`` files: each line that is not blank is a JSON object."""

    form: ClassVar[str] = "lines"

    def blocks(self, path: Path) -> Iterator[Block]:
        """See the base class."""
        return (line for line in self.lines(path) if line.data.strip())

    def parse(self, text: str, path: Path, location: str) -> Record:
        """See the base class."""
        item: Any = None
        why = None
        try:
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            why = str(error)
        record = self.parser.from_mapping(item, location) if isinstance(item, Mapping) else None
        if record is None:
            has = f"it has: {', '.join(map(repr, item)) or 'no keys'}" if isinstance(item, Mapping) else None
            fields = self.parser.fields
            keys = ", ".join(map(repr, fields)) if fields else "'text', or 'prompt' and 'completion'"
            raise DataError(
                f"{location} is not a JSON object with the key{'s' if len(fields) > 1 else ''} {keys}",
                value=text[:80], why=why or has or f"it is a {type(item).__name__}",
            )  # fmt: skip
        return record


class Documents(IndexedFiles):
    """``.txt`` files: documents separated by blank lines."""

    form: ClassVar[str] = "documents"

    def blocks(self, path: Path) -> Iterator[Block]:
        """See the base class."""
        offset = line = 0
        block: list[bytes] = []
        for current in self.lines(path):
            if current.data.strip():
                if not block:
                    offset, line = current.offset, current.line
                block.append(current.data)
            elif block:
                yield Block(offset, line, b"".join(block))
                block = []
        if block:
            yield Block(offset, line, b"".join(block))

    def parse(self, text: str, path: Path, location: str) -> Record:
        """See the base class."""
        return self.parser.record(text.replace("\r\n", "\n").strip(), location)
