"""Writing to standard error, whatever it is."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Print a line to standard error.

    A process may have none (``sys.stderr`` is None under ``pythonw`` or in a service), or one that is closed, or one
    whose encoding lacks some of the characters, which are then escaped.
    """
    stream = sys.stderr
    if stream is None:
        return
    with suppress(OSError, ValueError):
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode("ascii"), file=stream, flush=True)


def is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):  # None, an object that is no file, or a closed one
        return False


def in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
