"""What the sources' docstrings need to be read as Markdown: roles become links, and ``::`` a block of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([\w.]+)`")
_LITERAL = re.compile(r"::\n\n((?:    .*\n|[ \t]*\n)*    .*)(?:\n|\Z)")


def to_markdown(text: str) -> str:
    """Return a docstring's text as Markdown."""
    text = _ROLE.sub(_link, text)
    text = _LITERAL.sub(_block, text + "\n").rstrip("\n")
    return re.sub(r"^Class attributes:$", "Attributes:", text, flags=re.MULTILINE)


def _link(match: re.Match[str]) -> str:
    name = match[1]
    return f'<autoref identifier="{name}" optional><code>{name.rpartition(".")[2]}</code></autoref>'


def _block(match: re.Match[str]) -> str:
    code = re.sub(r"^    ", "", match[1], flags=re.MULTILINE)
    return f":\n\n```python\n{code}\n```\n"


class Markdown(griffe.Extension):
    """Rewrites each docstring once, before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
