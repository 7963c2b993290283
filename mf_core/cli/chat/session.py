"""The loop of ``mf chat``: read, answer, read again."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ...errors import ArgumentError, MFError
from .answering import Answering
from .commands import run_command
from .display import Display
from .reading import Reader
from .talk import Talk, Turn


class Session:
    """A conversation at a terminal, or along a file of lines.

    Args:
        model: The model's name.
        build: From a model's name to its pipeline.
        settings: Options of generation.
        display: Where answers go.
        system: The system message.
        interactive: Whether a person types.
    """

    def __init__(
        self,
        model: str,
        build: Callable[[str], Any],
        settings: dict[str, Any],
        display: Display,
        *,
        system: str | None = None,
        interactive: bool = True,
    ) -> None:
        self.model, self._build = model, build
        self.answering = Answering(build(model), settings)
        if system is not None and not self.answering.has_template:
            raise ArgumentError(
                f"{model} has no chat template, so it cannot be told {system[:40]!r}", value=system,
                why="it continues texts", hint="leave out --system",
            )
        self.display, self.talk, self._interactive = display, Talk(system), interactive

    def run(self, reader: Reader) -> int:
        """Read and answer until the input ends; return the exit code."""
        self.display.note(self.description() + (" /help lists commands; Ctrl-D leaves." if self._interactive else ""))
        if not self.answering.has_template:
            self.display.note(
                "This model has no chat template: it continues texts. Type how one begins, and an empty line to let it "
                "go on."
            )
        code = 0
        while True:
            try:
                text = reader.read()
                self.take(text)
            except EOFError:
                return code
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                self.display.note("(Ctrl-D leaves)")
            except MFError as error:
                self.display.note(f"mf: {error}")
                code = 0 if self._interactive else 2

    def take(self, text: str) -> None:
        """Run a command, or answer a message."""
        if text.startswith("/") and not text.startswith("//"):
            run_command(self, text.strip())
            return
        text = text[1:] if text.startswith("//") else text
        if not text.strip() and (self.answering.has_template or not self.talk.text()):
            return
        self._answer(Turn(text))

    def regenerate(self) -> None:
        """Answer the last question again."""
        turn = self.talk.undo()
        assert turn is not None
        try:
            self._answer(Turn(turn.user))
        finally:
            if not self.talk.turns or self.talk.turns[-1].user != turn.user:
                self.talk.turns.append(turn)

    def change_model(self, name: str) -> None:
        """Switch to another model; if it cannot be loaded, the old one stays."""
        answering = Answering(self._build(name), self.answering.settings)
        if self.talk.system is not None and not answering.has_template:
            self.display.note(f"(the system message is left out: {name} continues texts)")
        is_alike = answering.has_template == self.answering.has_template
        if not is_alike and self.talk.turns:  # the turns of a conversation are no text, nor the other way round
            self.display.note("(what was said before is left out)")
        self.model, self.answering = name, answering
        self.talk.first = 0 if is_alike else len(self.talk.turns)

    def description(self) -> str:
        """Return which model answers."""
        weights = self.answering.pipe.model.num_parameters() / 1e6
        return f"{self.model}: {weights:.0f} million weights, {self.answering.context} tokens of context."

    def speed(self) -> str:
        """Return how long the last answer was and how fast."""
        last = self.answering.last
        rest = last.seconds - last.first_token_seconds
        speed = f", {(last.tokens - 1) / rest:.0f} tokens/s after it" if last.tokens > 1 and rest > 0 else ""
        return f"the last answer: {last.tokens} tokens, the first in {last.first_token_seconds:.1f} s{speed}"

    def _answer(self, turn: Turn) -> None:
        """Answer a message and keep both; a message that cannot be answered is not kept."""
        self.talk.turns.append(turn)
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        stopped = threading.Event()
        try:
            if dropped := self.answering.fit(self.talk):
                self.display.note(f"(the context is full: the oldest {_turns(dropped)} left out from here on)")
            self.display.begin()
            try:
                with _stopping(stopped):
                    for key, new in self.answering.stream(self.talk):
                        message[key] = message[key] + new if key in message else new
                        self.display.add(key, new)
                        if stopped.is_set():
                            break
            except KeyboardInterrupt:
                stopped.set()
            finally:
                self.display.end()
                if self.answering.last is not None:
                    self.answering.last.close()
        except MFError:
            self.talk.undo()
            raise
        if any(message.get(key) for key in message if key != "role"):
            turn.answer.append(message)
        else:
            self.talk.undo()
            self.display.note("(there is no answer, so the question is taken back)")
        self._tell_end(stopped.is_set())

    def _tell_end(self, stopped: bool) -> None:
        reason = self.answering.last.finish_reason if self.answering.last is not None else None
        if stopped:
            self.display.note("(stopped)")
        elif reason == "length":
            self.display.note(f"(cut after {self.answering.last.tokens} tokens)")
        elif reason == "eos" and not self.answering.has_template:
            self.display.note("(the end; the next line begins a new text)")
            self.talk.first = len(self.talk.turns)


@contextmanager
def _stopping(stopped: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set an event, which is looked at between tokens; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _turns(count: int) -> str:
    return "turn is" if count == 1 else f"{count} turns are"
