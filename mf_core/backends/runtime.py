"""Using MindSpore's runtime: by one thread at a time, without interruption, and not in a forked child.

MindSpore compiles graphs with state that all threads share, and two threads that compile, or that make a graph's first
run, at the same time end the process. Its own threads are not copied by ``fork``, so a child waits for them for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ..errors import BackendError
from .interrupts import deferred

_lock = threading.RLock()
_started = False
_forked = False


@contextmanager
def exclusive(*, interruptible: bool = False) -> Iterator[None]:
    """Use the runtime within the block: other threads wait, and a SIGINT is handled when the block has ended.

    Blocks may be nested. Waiting for another thread can be interrupted.

    Args:
        interruptible: Handle a SIGINT at once: for long blocks that leave nothing half done which is used again.

    Raises:
        BackendError: The process was forked from one that had used the runtime.
    """
    check_not_forked()
    with _lock, nullcontext() if interruptible else deferred():
        yield


def note_start() -> None:
    """Note that the runtime has been set up in this process, so that forked children cannot use it."""
    global _started
    if not _started and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)
    _started = True


def _note_fork() -> None:
    global _forked
    _forked = True


def check_not_forked() -> None:
    """Raise BackendError where the process was forked from one that had used MindSpore."""
    if _forked:
        raise BackendError(
            "MindSpore cannot be used in this process", value=os.getpid(),
            why="it was forked from one that had used it, and MindSpore's threads are not copied by a fork",
            hint="start processes with multiprocessing.get_context('spawn'), or fork before the first model is made",
        )  # fmt: skip
