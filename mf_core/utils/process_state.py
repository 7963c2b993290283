"""What of a process's surroundings an import may not change: taken before and after, and compared."""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: What is looked at -> how, and as text that is equal where the thing is.
_LOOKS: dict[str, Callable[[], Any]] = {
    "the working directory": os.getcwd,
    "sys.path": lambda: list(sys.path),
    "sys.meta_path": lambda: [repr(finder) for finder in sys.meta_path],
    "the warnings filters": lambda: list(warnings.filters),
    "warnings.showwarning": lambda: id(warnings.showwarning),
    "the root logger": lambda: (logging.root.level, [repr(handler) for handler in logging.root.handlers]),
    "logging.disable": lambda: logging.root.manager.disable,
    "the signal handlers": lambda: {int(number): repr(signal.getsignal(number)) for number in signal.valid_signals()},
    "sys.path_hooks": lambda: [repr(hook) for hook in sys.path_hooks],
    "the timers": lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0 if hasattr(signal, "getitimer") else False,
    "the state of random": random.getstate,
    "the locale": lambda: locale.setlocale(locale.LC_ALL),
    "the threads": lambda: sorted(thread.name for thread in threading.enumerate()),
    "sys.excepthook": lambda: id(sys.excepthook),
    "sys.stdout and sys.stderr": lambda: (id(sys.stdout), id(sys.stderr)),
    "the recursion limit": sys.getrecursionlimit,
    "the default timeout of sockets": socket.getdefaulttimeout,
    "the garbage collector": lambda: (gc.isenabled(), gc.get_threshold()),
    "the umask": lambda: _umask(),
}


def look() -> dict[str, Any]:
    """Return what the surroundings are now: name -> something that is equal while they stay the same."""
    seen = {name: how() for name, how in _LOOKS.items()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        seen["the state of numpy.random"] = repr(numpy.random.get_state())
        seen["numpy's print options"] = repr(numpy.get_printoptions())
        seen["numpy's error handling"] = repr(numpy.geterr())
    return {**seen, "os.environ": dict(os.environ)}


def changes(before: dict[str, Any]) -> list[str]:
    """Return, in words, what is not as it was ``before``, which :func:`look` gave."""
    after = look()
    result = [name for name in before if name != "os.environ" and before[name] != after[name]]
    old, new = before["os.environ"], after["os.environ"]
    result += [f"os.environ[{name!r}]" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return result


@contextmanager
def watching_files() -> Iterator[list[str]]:
    """Yield a list that gets what is written, made, moved or deleted on the disk, or connected to, from now on.

    An audit hook cannot be taken away again, so this is for processes that end soon.
    """
    events: list[str] = []
    active = True
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not active:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
            events.append(f"writes {arguments[0]}")
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link"):
            events.append(f"{event} {arguments[0]}")
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork"):
            events.append(f"{event} {arguments[:2]}")

    sys.addaudithook(watch)
    try:
        yield events
    finally:
        active = False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
