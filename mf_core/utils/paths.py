"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ArgumentError


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` and ``~user`` at its beginning expanded; a user that does not exist stays as written.

    Raises:
        ArgumentError: It begins with ``~``, and the process has no home directory.
    """
    text = os.fspath(path)
    expanded = os.path.expanduser(text)  # pathlib's own raises for users that do not exist
    if expanded == text and text.partition("/")[0] == "~":
        raise ArgumentError(
            f"{text!r} begins with ~, and this process has no home directory", value=text,
            hint="set HOME, or give the whole path",
        )  # fmt: skip
    return Path(expanded)
