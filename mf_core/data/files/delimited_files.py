"""``.csv`` and ``.tsv`` files, whose first line names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from ...errors import DataError
from ..record_source import Record, RecordParser
from .indexed_files import Block, IndexedFiles


class CommaSeparated(IndexedFiles):
    """``.csv`` files as in RFC 4180: fields with commas, quotation marks or line breaks are quoted by ``"``.

    Values are strings. A record with more or fewer fields than the header is a bad one.
    """

    form: ClassVar[str] = "csv"
    delimiter: ClassVar[str] = ","
    quoting: ClassVar[Literal[0, 3]] = csv.QUOTE_MINIMAL

    def __init__(self, paths: Sequence[Path], parser: RecordParser) -> None:
        super().__init__(paths, parser)
        self._headers: dict[Path, list[str]] = {}

    def blocks(self, path: Path) -> Iterator[Block]:
        """See the base class."""
        records = self._all_blocks(path)
        next(records, None)  # the header
        return records

    def parse(self, text: str, path: Path, location: str) -> Record:
        """See the base class."""
        header, values = self._header(path), self._fields(text, location)
        if len(values) != len(header):
            raise DataError(
                f"{location} has {len(values)} fields, and the header has {len(header)}", value=text[:80],
                why=f"the columns are {', '.join(header)}", hint=self._hint,
            )  # fmt: skip
        item = dict(zip(header, values, strict=True))
        for name in self.parser.optional:
            if item.get(name) == "":
                del item[name]
        record = self.parser.from_mapping(item, location)
        if record is None:
            raise DataError(
                f"{location} has no column 'text', and not 'prompt' and 'completion'", value=text[:80],
                why=f"the columns are {', '.join(header)}", hint="the first line names the columns",
            )  # fmt: skip
        return record

    @property
    def _hint(self) -> str:
        return "quote a field that contains commas or quotation marks, and double the marks in it"

    def _all_blocks(self, path: Path) -> Iterator[Block]:
        """Yield the lines of each record, the header's first: a quoted field may continue in the next line."""
        offset = line = marks = 0
        block: list[bytes] = []
        for current in self.lines(path):
            if not block:
                if not current.data.strip():
                    continue
                offset, line, marks = current.offset, current.line, 0
            block.append(current.data)
            marks += current.data.count(b'"') if self.quoting == csv.QUOTE_MINIMAL else 0
            if marks % 2 == 0:
                yield Block(offset, line, b"".join(block))
                block = []
        if block:
            yield Block(offset, line, b"".join(block))

    def _header(self, path: Path) -> list[str]:
        if path not in self._headers:
            first = next(self._all_blocks(path))
            names = [name.strip() for name in self._fields(first.data.decode("utf-8"), f"{path}:{first.line}")]
            double = {name for name in names if names.count(name) > 1}
            if double:
                raise DataError(
                    f"{path} has several columns named {', '.join(map(repr, sorted(double)))}", value=names,
                    hint="the first line names the columns, each differently",
                )  # fmt: skip
            self._headers[path] = names
        return self._headers[path]

    def _fields(self, text: str, location: str) -> list[str]:
        lines = io.StringIO(text.rstrip("\r\n"), newline="")
        try:
            rows = list(csv.reader(lines, delimiter=self.delimiter, quoting=self.quoting, strict=True))
        except csv.Error as error:
            hint = "write long texts as .jsonl" if "field larger" in str(error) else self._hint
            raise DataError(f"{location} is malformed", value=text[:80], why=str(error), hint=hint) from error
        if len(rows) != 1:
            raise DataError(
                f"{location} is malformed", value=text[:80], why="a quotation mark is not closed", hint=self._hint
            )  # fmt: skip
        return rows[0]


class TabSeparated(CommaSeparated):
    """``.tsv`` files: fields are separated by tabs, which they cannot contain, and quotation marks are characters."""

    form: ClassVar[str] = "tsv"
    delimiter: ClassVar[str] = "\t"
    quoting: ClassVar[Literal[0, 3]] = csv.QUOTE_NONE

    @property
    def _hint(self) -> str:
        return "a field contains no tabs and no line breaks"
