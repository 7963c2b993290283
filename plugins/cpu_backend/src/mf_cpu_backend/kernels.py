"""The native kernels, under the names and with the meanings of :mod:`mf_core.nn.kernels`.

They are MindSpore operators of our own (``ops.Custom``), from a library that is compiled with the wheel; ``native/`` of
the source distribution has their code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cores import core_count

LIBRARY = Path(__file__).with_name("_kernels.so")


def unavailable() -> str:
    """Return why there are no kernels; an empty text where there are."""
    if not LIBRARY.is_file():
        return "this installation was built without a C++ compiler"
    try:
        ctypes.CDLL(str(LIBRARY))
    except OSError as error:  # of another architecture, or cut short
        return str(error)
    return ""


def processor_level() -> str:
    """Return which of their versions this processor runs, for people."""
    library = ctypes.CDLL(str(LIBRARY))
    library.mf_level.restype = ctypes.c_char_p
    name: bytes = library.mf_level()
    return name.decode()


@lru_cache
def load() -> dict[str, Callable[..., Any]]:
    """Return the kernels, set to the process's number of threads; none where there is no library."""
    if unavailable():
        return {}
    from .operators import KERNELS

    set_threads(core_count())
    return KERNELS


def set_threads(count: int) -> None:
    """Let that many threads work in a kernel from now on, the calling one included."""
    ctypes.CDLL(str(LIBRARY)).mf_set_threads(count)
