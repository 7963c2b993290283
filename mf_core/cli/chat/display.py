"""Answers on the screen: as they come, in plain text or as Markdown."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any, Protocol

from ...utils.console import say

_DIM, _NORMAL = "\x1b[2m", "\x1b[0m"


class Display(Protocol):
    """Shows answers and notes."""

    def begin(self) -> None:
        """Begin an answer."""

    def add(self, key: str, new: Any) -> None:
        """Show what is new in it: text of ``"content"`` or ``"reasoning_content"``, or ``"tool_calls"``."""

    def end(self) -> None:
        """End the answer."""

    def note(self, text: str) -> None:
        """Show a line of the program's own."""


def safe(text: str) -> str:
    """Return text without characters that a terminal obeys."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def shown_calls(calls: list[dict[str, Any]]) -> str:
    """Return tool calls as lines of text."""
    functions = [call["function"] for call in calls]
    return "\n".join(f"{f['name']}({json.dumps(f['arguments'], ensure_ascii=False)})" for f in functions)


class PlainDisplay:
    """Writes answers as they come.

    Args:
        terminal: Whether standard output is a terminal, which shows thinking; files get the answers alone.
    """

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._key = ""

    def begin(self) -> None:
        """See :class:`Display`."""
        self._key = ""

    def add(self, key: str, new: Any) -> None:
        """See :class:`Display`."""
        if key == "reasoning_content" and not self._terminal:
            return
        if self._key and key != self._key:
            sys.stdout.write("\n\n")
        self._key = key
        text = safe(shown_calls(new) if key == "tool_calls" else new)
        sys.stdout.write(f"{_DIM}{text}{_NORMAL}" if key == "reasoning_content" and _has_colour() else text)
        sys.stdout.flush()

    def end(self) -> None:
        """See :class:`Display`."""
        print(flush=True)

    def note(self, text: str) -> None:
        """See :class:`Display`."""
        say(safe(text))


class MarkdownDisplay:
    """Renders answers as Markdown by ``rich``; blocks that are complete are written, the last one is drawn again."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console, self._live_class = Console(highlight=False), Live
        self._live: Any = None
        self._key, self._text, self._shown = "", "", 0

    def begin(self) -> None:
        """See :class:`Display`."""
        from rich.spinner import Spinner

        self._key, self._text, self._shown = "", "", 0
        self._live = self._live_class(
            Spinner("dots", style="dim"), console=self._console, transient=True, refresh_per_second=10
        )
        self._live.start()

    def add(self, key: str, new: Any) -> None:
        """See :class:`Display`."""
        if key != self._key:
            self._flush()
            self._key = key
        self._text += safe(f"`{shown_calls(new)}`\n\n" if key == "tool_calls" else new)
        done, rest = complete_blocks(self._text)
        if done.strip():
            self._write(done)
        self._text = rest
        self._live.update(self._rendered(self._tail(rest)))

    def end(self) -> None:
        """See :class:`Display`."""
        if self._live is None:
            return
        self._flush()
        self._live.stop()
        self._live = None

    def note(self, text: str) -> None:
        """See :class:`Display`."""
        from rich.text import Text

        self._console.print(Text(safe(text), style="dim"))

    def _flush(self) -> None:
        if self._text.strip():
            self._write(self._text)
        self._text = ""
        if self._live is not None:
            self._live.update("")

    def _write(self, text: str) -> None:
        if self._shown:
            self._console.print()
        self._console.print(self._rendered(text))
        self._shown += 1

    def _rendered(self, text: str) -> Any:
        from rich.markdown import Markdown
        from rich.padding import Padding

        if self._key == "reasoning_content":
            return Padding(Markdown(text, style="dim italic"), (0, 0, 0, 2))
        return Markdown(text)

    def _tail(self, text: str) -> str:
        """Return the last lines of a block that is higher than the screen."""
        size = shutil.get_terminal_size()
        lines = text.split("\n")
        most = max(1, size.lines - 4)
        if sum(1 + len(line) // max(1, size.columns - 4) for line in lines) <= most:
            return text
        kept = lines[-most:]
        return "\n".join([lines[0], *kept] if lines[0].startswith(("```", "~~~")) else kept)


def complete_blocks(text: str) -> tuple[str, str]:
    """Split Markdown after its last complete block: at an empty line outside of fences."""
    fence, cut, position = "", 0, 0
    for line in text.splitlines(keepends=True):
        position += len(line)
        mark = line.lstrip()[:3]
        if mark in ("```", "~~~") and fence in ("", mark):
            fence = "" if fence else mark
        elif not fence and not line.strip() and line.endswith("\n"):
            cut = position
    return text[:cut], text[cut:]


def _has_colour() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb") and "NO_COLOR" not in os.environ
