"""Ctrl-C in a process that runs MindSpore's graphs.

MindSpore installs a handler in C++ that turns SIGINT into SIGTERM: when its threads start, and again each time that a
graph runs. Python's own handler would be lost with the first graph, and with it ``KeyboardInterrupt``. No setting of
MindSpore 2.10 turns this off, so the two functions that install the handler are made to return at once.

A handler of Python's may raise between any two bytecodes, also in MindSpore's Python code, which is not written for it:
:func:`deferred` keeps the interrupt until a call has returned.
"""

from __future__ import annotations

import ctypes
import platform
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

#: The library of MindSpore that has the functions, and their symbols: ``bool RegisterGlobalSignalHandler(handler)`` and
#: ``void SignalGuard::RegisterHandlers(handler)``.
_LIBRARY: Final = "libmindspore_common.so"
_RETURNS_TRUE: Final = "_ZN9mindspore27RegisterGlobalSignalHandlerEPFviP9siginfo_tPvE"
_RETURNS_NOTHING: Final = "_ZN9mindspore11SignalGuard16RegisterHandlersEPFviP9siginfo_tPvE"

#: Machine -> instructions for ``return true`` and for ``return``.
_INSTRUCTIONS: Final = {
    "x86_64": (b"\xb8\x01\x00\x00\x00\xc3", b"\xc3"),  # mov eax, 1; ret
    "aarch64": (
        b"\x5f\x24\x03\xd5\x20\x00\x80\x52\xc0\x03\x5f\xd6",  # bti c; mov w0, 1; ret
        b"\x5f\x24\x03\xd5\xc0\x03\x5f\xd6",
    ),
}

_done = threading.Event()


def keep_python_handlers(mindspore: ModuleType) -> None:
    """Keep MindSpore from replacing the process's handler of SIGINT, and put Python's back if it has done so.

    Args:
        mindspore: The imported module.

    Warns:
        UserWarning: That is not possible here, so Ctrl-C ends the process once a graph has run.
    """
    if not _done.is_set():
        _done.set()
        try:
            _disable(Path(str(mindspore.__file__)).parent / "lib" / _LIBRARY)
        except (OSError, AttributeError, KeyError) as error:
            warnings.warn(
                f"MindSpore replaces Python's handler of SIGINT here, so Ctrl-C may end the process ({error!r})",
                stacklevel=2,
            )
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            signal.signal(signal.SIGINT, handler)


def _disable(library: Path) -> None:
    """Overwrite the beginnings of the functions in this process's memory, as a debugger sets breakpoints."""
    returns_true, returns_nothing = _INSTRUCTIONS[platform.machine()]
    functions = ctypes.CDLL(str(library))
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        for symbol, instructions in ((_RETURNS_TRUE, returns_true), (_RETURNS_NOTHING, returns_nothing)):
            address = ctypes.cast(getattr(functions, symbol), ctypes.c_void_p).value
            assert address is not None
            memory.seek(address)
            memory.write(instructions)


@contextmanager
def deferred() -> Iterator[None]:
    """Keep a SIGINT that comes within the block until the block has ended, also where it ends by an exception.

    Python's handler is then called, once, however many signals came. In other threads than the main one, and where
    Python has no handler (``SIG_IGN``, ``SIG_DFL``), nothing changes. Blocks may be nested.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    frames: list[FrameType | None] = []

    def keep(number: int, frame: FrameType | None) -> None:
        frames.append(frame)

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if frames:
            _call(handler, frames[-1])


def _call(handler: Any, frame: FrameType | None) -> None:
    handler(signal.SIGINT, frame)
