"""Printing rows for people, or the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import printable


def print_json(data: Any) -> None:
    """Print ``data`` as indented JSON; characters that a terminal might obey are escaped in it."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns under a header; control characters are shown escaped."""
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
