"""SIGTERM and SIGINT as requests to stop after the step that is under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopSignals:
    """Within the block, signals are noted; the training loop asks for them between steps.

    SIGTERM sets ``terminated``. SIGINT is for Python's handler, the user's own or the one that raises
    KeyboardInterrupt: :meth:`interruption` calls it. A second SIGINT before that calls it at once, wherever the run is.

    In a thread that is not the main one, where Python takes no signal handlers, nothing changes; likewise for SIGINT
    where Python has no handler for it.

    Attributes:
        terminated: Whether a SIGTERM has come.
        raised: What the handler of SIGINT raised when it was last called.
    """

    def __init__(self) -> None:
        self.terminated = False
        self.raised: BaseException | None = None
        self._pending = self._immediate = False
        self._before: dict[int, Any] = {}
        self._own = {signal.SIGTERM: self._terminate, signal.SIGINT: self._interrupt}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._own.items():
                before = signal.getsignal(number)
                if callable(before) or number == signal.SIGTERM:
                    self._before[number] = before
                    signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            # What was set during the run stays; None is a handler that Python cannot set again.
            if before is not None and signal.getsignal(number) == self._own[signal.Signals(number)]:
                signal.signal(number, before)

    def interruption(self) -> BaseException | None:
        """Call the handler of SIGINT if one has come, and return what it raises."""
        if self._pending:
            self._pending = False
            try:
                self._call(None)
            except BaseException as error:
                return error
        return None

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Call the handler of SIGINT as soon as one comes, within the block."""
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._pending or self._immediate:
            self._call(frame)
        else:
            self._pending = True

    def _call(self, frame: FrameType | None) -> None:
        try:
            self._before[signal.SIGINT](signal.SIGINT, frame)
        except BaseException as error:
            self.raised = error
            raise
