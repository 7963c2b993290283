"""The native kernels, under the names and with the meanings of :mod:`mf_core.nn.kernels`.

They are MindSpore operators of our own (``ops.Custom``), compiled with the wheel: on x86-64 into a library for each
level of its instructions, of which the best that the processor has is loaded. ``native/`` of the source distribution
has their code.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from mf_core.errors import ConfigError

from .cores import core_count

FOLDER = Path(__file__).parent

#: What each level means to people.
LEVELS = {
    "x86-64-v4-amx": "AVX-512 and AMX", "x86-64-v4": "AVX-512", "x86-64-v3": "AVX2", "x86-64": "SSE2",
    "baseline": "no more than the compiler's own",
}  # fmt: skip


@lru_cache
def libraries() -> dict[str, Path]:
    """Return the libraries that this processor runs, by level, the best first."""
    files = {level: FOLDER / f"_kernels_{level.replace('-', '_')}.so" for level in LEVELS}
    found = {level: path for level, path in files.items() if path.is_file()}
    if not found:
        return {}
    lowest = ctypes.CDLL(str(list(found.values())[-1]))
    lowest.mf_best_level.restype = ctypes.c_char_p
    best = list(LEVELS).index(lowest.mf_best_level().decode())
    return {level: path for level, path in found.items() if list(LEVELS).index(level) >= best}


def library() -> tuple[str, Path]:
    """Return the level in use and its library: the best, or what ``MF_CPU_LEVEL`` names.

    Raises:
        ConfigError: ``MF_CPU_LEVEL`` names none that this processor runs and the installation has.
        LookupError, OSError: There is no library, or it cannot be loaded; :func:`unavailable` says why.
    """
    there = libraries()
    if not there:
        raise LookupError("this installation was built without a C++ compiler")
    asked = os.environ.get("MF_CPU_LEVEL") or next(iter(there))
    if asked not in there:
        raise ConfigError(
            f"MF_CPU_LEVEL={asked!r} is not to be had", value=asked, hint=f"one of {', '.join(there)}, or leave it out"
        )
    return asked, there[asked]


def unavailable() -> str:
    """Return why there are no kernels; an empty text where there are."""
    try:
        library()
    except (LookupError, OSError) as error:  # OSError: of another architecture, or cut short
        return str(error)
    return ""


def processor_level() -> str:
    """Return which of their versions is in use, for people."""
    level, _ = library()
    return f"{level} ({LEVELS[level]})"


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
    ctypes.CDLL(str(library()[1])).mf_set_threads(count)
