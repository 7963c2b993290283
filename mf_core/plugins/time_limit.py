"""A time limit on plugin code that runs in this process.

A thread watches. When the time is up, an exception is raised in the code's thread. In the main thread that is done by a
signal that nothing else uses, so that calls which wait are interrupted as well; its handler is there as long as the
limit is. In other threads, and on Windows, a call that waits has to return first. Code inside an extension module that
keeps the interpreter to itself cannot be interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _TimeUp(BaseException):
    """Raised in code that exceeds its limit; a BaseException, since the code may catch Exception."""


class TimeLimit:
    """Runs blocks of code with a limit; to be closed after the last.

    Args:
        seconds: How long a block may take; 0: as long as it likes.
        notice: After how many seconds it is said, once a block, that it is still running.
    """

    def __init__(self, seconds: float, notice: float = 5.0) -> None:
        self.seconds = seconds
        self._notice = notice
        self._condition = threading.Condition()
        self._started = 0.0  # when the block began; 0: none is running
        self._block = ("", 0)  # what it does, and the identity of its thread
        self._fired = self._noticed = self._closed = False
        self._signal = _free_signal()
        if self._signal is not None:
            signal.signal(self._signal, _raise)
        self._watcher: threading.Thread | None = threading.Thread(
            target=self._watch, name="mf_core time limit", daemon=True
        )
        try:
            self._watcher.start()
        except RuntimeError:  # no thread can be started, as at the interpreter's end: run without a limit
            self._watcher = None

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Run the block; ``what`` describes it in messages.

        Raises:
            TimeoutError: It took longer than the limit, whatever it raised or returned then.
        """
        self._start(what)
        try:
            yield
        except BaseException:
            fired = self._stop()
            if not fired:
                raise
        else:
            fired = self._stop()
        if fired:
            raise TimeoutError(f"it took longer than {self.seconds:g} s, and was interrupted")

    def close(self) -> None:
        """End the watching thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._watcher is not None:
            self._watcher.join()
        if self._signal is not None:
            signal.signal(self._signal, signal.SIG_DFL)

    def _start(self, what: str) -> None:
        with self._condition:
            self._block = (what, threading.get_ident())
            self._fired = self._noticed = False
            self._started = time.monotonic()

    def _stop(self) -> bool:
        """End the block and return whether it was interrupted."""
        try:
            return self._settle()
        except _TimeUp:  # it arrives only now
            return self._settle()

    def _settle(self) -> bool:
        with self._condition:
            self._started = 0.0
            fired, thread = self._fired, self._block[1]
        if fired:
            time.sleep(0.05)  # what has been sent arrives here at the latest
            _raise_in_thread(thread, None)
        return fired

    def _watch(self) -> None:
        wait = min(self._notice, self.seconds or self._notice) / 2
        with self._condition:
            while not self._closed:
                self._condition.wait(wait)
                passed = time.monotonic() - self._started if self._started else 0.0
                if passed > self._notice and not self._noticed:
                    self._noticed = True
                    _say(f"after {passed:.0f} s still {self._block[0]}")
                if self.seconds and passed > self.seconds:
                    self._fired = True  # once more in every round, should the code catch what it is sent
                    self._interrupt(self._block[1])

    def _interrupt(self, thread: int) -> None:
        if self._signal is not None and thread == threading.main_thread().ident:
            signal.pthread_kill(thread, self._signal)
        else:
            _raise_in_thread(thread, _TimeUp)


def _free_signal() -> int | None:
    """Return an unused signal, in the main thread of a system that has some; else None."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGRTMAX"):
        return None
    last = int(signal.SIGRTMAX)
    return next((n for n in range(last - 1, last - 9, -1) if signal.getsignal(n) is signal.SIG_DFL), None)


def _raise(*_: object) -> None:
    raise _TimeUp


def _raise_in_thread(thread: int, exception: type[BaseException] | None) -> None:
    """Schedule an exception in a thread, or cancel it."""
    import ctypes  # not at the top: listing models costs no more for what is hardly ever needed

    given = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), given)


def _say(message: str) -> None:
    import logging

    logging.getLogger("mf_core").warning(message)
