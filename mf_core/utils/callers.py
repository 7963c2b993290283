"""Where a warning is reported: at the line of the user's code that called the library."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

#: The core, and the module whose frames its decorated functions have between them.
_PASSED = (str(Path(__file__).parents[1]), contextlib.__file__)


def callers_level() -> int:
    """Return the ``stacklevel`` of the first frame outside of the core, for a warning of the calling function."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED):
        frame, level = frame.f_back, level + 1
    return level
