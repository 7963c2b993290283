"""The blocks of code in the documentation, and what comments beside them say to the tests.

A comment right before a block, or anywhere for ``setup``:

* ``<!-- test: not run: REASON -->``: the block cannot run here.
* ``<!-- test: exit 1 -->``: its last command ends with that exit code.
* ``<!-- test: setup``, then Python until ``-->``: what the page takes for granted, such as files of data
  (``stories("train.jsonl")`` writes one).
* ``<!-- test: environment NAME … -->``: the page runs in a separate environment, where those distributions are;
  ``.`` is the distribution in whose folder the page is.
* ``<!-- quoted: PATH -->``, ``<!-- quoted: PATH NAME -->``: the block is that file, or what it defines by that name;
  ``head`` is what comes before the first definition. ``python -m tests.support.docs_blocks`` renews such blocks.

A block with ``title="path"`` is a file, which is written for the blocks after it; ``title="path (continued)"`` is what
comes next in that file, after two empty lines.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Languages whose blocks run, are parsed, or show what a program printed or how something is written.
RUN, PARSED, SHOWN = ("python", "console", "bash"), ("yaml", "toml", "json"), ("text",)

_FENCE = re.compile(r"( *)(`{3,})([\w-]*)(.*)")
_QUOTED = re.compile(
    r"(<!-- quoted: (.*?) -->\n(?:<!-- .*? -->\n)*(`{3,})[^\n]*\n).*?^\3$", re.DOTALL | re.MULTILINE
)
_TITLE = re.compile(r'title="([^"]+)"')
_COMMENT = re.compile(r"\s*<!-- (test|quoted): (.*?) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page's path in the repository.
        line: Where the block begins.
        language: What follows the fence; ``"setup"`` for a comment with code.
        text: The lines between the fences.
        title: The file that the block is; empty: none.
        notes: The comments right before it: ``{"not run": reason, "exit": "1", "quoted": "path name"}``.
    """

    page: str
    line: int
    language: str
    text: str
    title: str = ""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return f"{self.page}:{self.line}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def pages() -> list[Path]:
    """Return every page of documentation whose blocks are tested."""
    patterns = ("README*.md", "CONTRIBUTING.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md")
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks, in their order."""
    name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    return list(_blocks(name, page.read_text(encoding="utf-8").splitlines()))


def environment_of(page: Path) -> list[str] | None:
    """Return the distributions of the environment that a page wants for itself, or None."""
    found = re.search(r"<!-- test: environment (.*?) -->", page.read_text(encoding="utf-8"))
    return found[1].split() if found else None


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    notes: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.strip() == "<!-- test: setup":
            end = next(i for i in range(number, len(lines)) if lines[i].strip() == "-->")
            yield Block(page, number, "setup", "\n".join(lines[number:end]) + "\n")
            number = end + 1
        elif match := _COMMENT.match(line):
            key, _, value = match[2].partition(" ") if match[1] == "test" else ("quoted", "", match[2])
            if match[2].startswith("not run"):
                key, _, value = match[2].partition(": ")
            notes[key] = value
        elif match := _FENCE.match(line):
            indent, fence = len(match[1]), match[2]
            end = next((i for i in range(number, len(lines)) if lines[i].strip() == fence), None)
            assert end is not None, f"{page}:{number}: the block does not end"
            text = "".join(f"{inner[indent:]}\n" for inner in lines[number:end])
            title = _TITLE.search(match[4])
            yield Block(page, number, match[3], text, title[1] if title else "", notes)
            notes, number = {}, end + 1
        elif line.strip():
            notes = {}


def prose(page: Path) -> str:
    """Return a page without its blocks and comments."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"^( *)(`{3,}).*?^\1\2$", "", text, flags=re.DOTALL | re.MULTILINE)


def quoted(reference: str) -> str:
    """Return what ``PATH`` or ``PATH NAME`` stands for."""
    path, _, part = reference.partition(" ")
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    if not part:
        return text
    definitions = [node for node in ast.parse(text).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    first = {node.name: min([node.lineno, *(d.lineno for d in node.decorator_list)]) for node in definitions}
    if part == "head":
        return "".join(lines[: min(first.values()) - 1]).rstrip("\n") + "\n"
    found = next(node for node in definitions if node.name == part)
    return "".join(lines[first[part] - 1 : found.end_lineno])


def renew(page: Path) -> None:
    """Write into a page what its quoted blocks stand for."""
    text = page.read_text(encoding="utf-8")
    page.write_text(_QUOTED.sub(lambda match: f"{match[1]}{quoted(match[2])}{match[3]}", text), encoding="utf-8")


if __name__ == "__main__":
    for each in pages():
        renew(each)
