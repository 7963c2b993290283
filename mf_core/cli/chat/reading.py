"""What the user types: lines of a file, of a terminal, or of an editor with history and completion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

#: Begins and ends a message of several lines.
QUOTES = '"""'


class Reader(Protocol):
    """Reads messages."""

    def read(self) -> str:
        """Return the next message.

        Raises:
            EOFError: There is none.
            KeyboardInterrupt: The user pressed Ctrl-C.
        """


class PlainReader:
    """Reads lines by ``input``, which edits them where Python has ``readline``; between quotes, several of them.

    Args:
        terminal: Whether a person types.
    """

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        if terminal:
            with suppress(ImportError):
                import readline  # noqa: F401

    def read(self) -> str:
        """See :class:`Reader`."""
        line = self._line("> ")
        if not line.startswith(QUOTES):
            return line
        lines = [line[len(QUOTES) :]]
        while not lines[-1].rstrip().endswith(QUOTES):
            try:
                lines.append(self._line("… "))
            except EOFError:
                return "\n".join(lines)
        return "\n".join(lines).rstrip()[: -len(QUOTES)].strip("\n")

    def _line(self, prompt: str) -> str:
        if self._terminal:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


class EditingReader:
    """Reads messages by ``prompt_toolkit``: Enter sends, Alt-Enter begins a line; what is pasted stays whole.

    Args:
        complete: From the beginning of a command to its completions.
    """

    def __init__(self, complete: Callable[[str], Iterable[str]]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        self._session: Any = PromptSession(
            history=InMemoryHistory(), multiline=True, key_bindings=_keys(), completer=_completer(complete),
            complete_while_typing=False, prompt_continuation=_continuation, enable_open_in_editor=True,
        )  # fmt: skip

    def read(self) -> str:
        """See :class:`Reader`."""
        text = str(self._session.prompt("> "))
        if text.startswith(QUOTES) and text.rstrip().endswith(QUOTES) and len(text.rstrip()) >= 2 * len(QUOTES):
            return text.rstrip()[len(QUOTES) : -len(QUOTES)].strip("\n")
        return text


def _continuation(width: int, line: int, wrapped: int) -> str:
    return "" if wrapped else "… "


def _keys() -> Any:
    from prompt_toolkit.filters import completion_is_selected
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def send(event: Any) -> None:
        text = event.current_buffer.text
        if text.startswith(QUOTES) and (text.rstrip() == QUOTES or not text.rstrip().endswith(QUOTES)):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def begin_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _completer(complete: Callable[[str], Iterable[str]]) -> Any:
    from prompt_toolkit.completion import Completer, Completion

    class Commands(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:
            before = document.text_before_cursor
            if before.startswith("/") and "\n" not in before:
                word = before.rsplit(" ", 1)[-1]
                for text in complete(before):
                    yield Completion(text, start_position=-len(word))

    return Commands()


@contextmanager
def quiet_terminal() -> Iterator[None]:
    """Keep what is typed meanwhile for the next message, and off the screen; Ctrl-C still interrupts.

    A terminal otherwise echoes it into the answer.
    """
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    mode = termios.tcgetattr(number)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(number, termios.TCSANOW, mode)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)
