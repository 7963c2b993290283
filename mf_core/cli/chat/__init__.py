"""``mf chat``: a conversation in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from ..model_options import add_model_options, build_pipeline

if TYPE_CHECKING:
    from .display import Display
    from .reading import Reader
    from .session import Session


def add_commands(commands: Any, *, complete: bool = True) -> None:
    """Add the command to the parser; without the flags of generation, whose fields need pydantic, unless complete."""
    chat = commands.add_parser("chat", help="talk to a model, or continue a text line after line")
    chat.add_argument("--system", metavar="TEXT", help="the system message")
    chat.add_argument("--plain", action="store_true", help="no Markdown, no line editor")
    add_model_options(chat, complete)
    chat.set_defaults(run=run_chat)


def run_chat(options: argparse.Namespace) -> int:
    """Answer what is typed, or each line of standard input where it is no terminal."""
    from contextlib import nullcontext

    from ..generation_flags import given_options, in_flags
    from .reading import PlainReader, quiet_terminal
    from .session import Session

    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    rich = terminal and not options.plain and os.environ.get("TERM") not in (None, "dumb")
    missing = _missing() if rich else []
    display = _display(terminal, markdown=rich and "rich" not in missing)
    edits = rich and "prompt_toolkit" not in missing
    if missing:
        display.note(
            f"Without {' and '.join(missing)}, {' and '.join(_FOR[name] for name in missing)} are plain: "
            "pip install 'mf-framework[chat]'"
        )

    def build(name: str) -> Any:
        return build_pipeline(argparse.Namespace(**{**vars(options), "model": name}), {})

    with quiet_terminal() if edits else nullcontext():
        with in_flags():
            session = Session(
                options.model, build, given_options(options), display, system=options.system, interactive=terminal
            )
        return session.run(_editor(session) if edits else PlainReader(terminal))


_FOR = {"rich": "answers", "prompt_toolkit": "lines that are typed"}


def _display(terminal: bool, *, markdown: bool) -> Display:
    from .display import MarkdownDisplay, PlainDisplay

    return MarkdownDisplay() if markdown else PlainDisplay(terminal)


def _editor(session: Session) -> Reader:
    from .commands import completions
    from .reading import EditingReader

    return EditingReader(lambda text: completions(session, text))


def _missing() -> list[str]:
    from importlib.util import find_spec

    return [name for name in ("rich", "prompt_toolkit") if find_spec(name) is None]
