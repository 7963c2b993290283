"""Parent of a cluster's processes (Linux): adopting orphans, catching signals, delaying starts."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import BackendError
from . import guard

_SET_CHILD_SUBREAPER = 36
#: What msrun starts instead of Python. Opening the gate for reading waits until someone opens it for writing.
_STAND_IN = """#!/bin/sh
: < {folder}/gate
PATH={path}
export PATH
if [ "$MS_ROLE" = MS_WORKER ] && [ "$DEVICE_ID" = 0 ] && [ -p {folder}/out ]; then
    exec > {folder}/out 2> {folder}/err
fi
exec {python} -u "$@"
"""


@contextmanager
def adopting() -> Iterator[None]:
    """Make this process, within the block, the parent of what its descendants leave behind (``prctl(2)``)."""
    _prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(_SET_CHILD_SUBREAPER, 0)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise BackendError("this process cannot be made the parent of others", why=os.strerror(ctypes.get_errno()))


@contextmanager
def caught_signals() -> Iterator[int]:
    """Block signals; yield a descriptor from which their numbers are read.

    These are SIGCHLD, and those of SIGINT, SIGTERM and SIGHUP that were not ignored before.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = (signal.SIGCHLD, *(number for number in ends if signal.getsignal(number) is not signal.SIG_IGN))
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # first: what comes in between is not lost then
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


class Scratch:
    """A folder, for the time of a block, with what msrun finds instead of Python.

    Args:
        shows_first: Whether the first worker's output goes to the pipes, not to its log.

    Attributes:
        folder: To be put on msrun's PATH.
        pipes: The ends, which do not block, that output and errors of the first worker come out of; or none.
    """

    def __init__(self, *, shows_first: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mf-launch-"))
        self._open: list[int] = []
        os.mkfifo(self.folder / "gate")
        if shows_first:
            for name in ("out", "err"):
                os.mkfifo(self.folder / name)
                self._open.append(self._opened(name))
        self.pipes = tuple(self._open)
        python = Path(sys.executable)
        path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        quoted = {"folder": str(self.folder), "path": path, "python": str(python)}
        stand_in = self.folder / "python"
        stand_in.write_text(_STAND_IN.format(**{name: shlex.quote(text) for name, text in quoted.items()}))
        stand_in.chmod(0o700)

    def _opened(self, name: str) -> int:
        # For both directions: so opening does not wait for another process, and the pipe has no end before this does.
        return os.open(self.folder / name, os.O_RDWR | os.O_NONBLOCK)

    def open_gate(self) -> None:
        """Let the processes begin."""
        self._open.append(self._opened("gate"))

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def guarded(arguments: Sequence[str], kept: Sequence[int]) -> Iterator[Callable[[Iterable[int]], None]]:
    """Have :mod:`.guard` run within the block; when the block ends, or this process, it ends what is left.

    Args:
        arguments: Of :func:`guard.main`.
        kept: Descriptors that it keeps open.

    Yields:
        A function that tells it which processes are the workers.
    """
    own = {name: value for name, value in os.environ.items() if name != guard.MARK}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *arguments], env=own, pass_fds=kept, stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, text=True,
    )  # fmt: skip
    assert process.stdin is not None

    def tell(workers: Iterable[int]) -> None:
        with suppress(BrokenPipeError):  # somebody has killed it
            print(*workers, file=process.stdin, flush=True)

    try:
        yield tell
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
