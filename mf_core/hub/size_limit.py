"""Confirmation of large downloads."""

from __future__ import annotations

import os
import re
import sys
from typing import Final

from ..errors import ArgumentError, DownloadError
from ..utils.console import is_terminal

VARIABLE: Final = "MF_DOWNLOAD_LIMIT"
#: What is downloaded of one checkpoint without being asked for, in bytes.
DEFAULT: Final = 10 * 10**9

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)[bB]?\Z")
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SHARD: Final = re.compile(r"-(\d{5})-of-(\d{5})\.\w+\Z")
#: Files that are read within their own limits and are never large.
_SMALL: Final = (".json", ".txt", ".jinja", ".model")


class SizeLimit:
    """Counts what is downloaded of one checkpoint, and asks before it is more than the limit.

    Args:
        location: Where the files come from, for messages.
    """

    def __init__(self, location: str) -> None:
        self._location, self._bytes, self._allowed = location, 0, False

    def applies_to(self, filename: str) -> bool:
        """Return whether a file's size has to be known before it is downloaded."""
        return not self._allowed and not filename.endswith(_SMALL) and download_limit() is not None

    def check(self, filename: str, size: int | None) -> None:
        """Return if a file may be downloaded: within the limit, or because the user has said so at the terminal.

        Args:
            filename: Of a shard, all shards are counted, each with this one's size.
            size: In bytes; None: the server does not say.

        Raises:
            DownloadError: The limit is exceeded, and no one can be asked, or the answer was no.
        """
        limit = download_limit()
        if limit is None or size is None or self._allowed:
            return
        shard = _SHARD.search(filename)
        rest = int(shard[2]) - int(shard[1]) if shard else 0
        total = self._bytes + size * (1 + max(0, rest))
        if total > limit:
            self._ask(filename, total, limit, estimated=rest > 0)
            self._allowed = True
        self._bytes += size

    def _ask(self, filename: str, total: int, limit: int, *, estimated: bool) -> None:
        about = f"{'about ' if estimated else ''}{_shown(total)}"
        what = f"{self._location} is a download of {about}"
        if is_terminal() and _reads_a_terminal():
            print(f"{what}. Continue? [y/N] ", end="", file=sys.stderr, flush=True)
            if sys.stdin.readline().strip().lower() in ("y", "yes"):
                return
            raise DownloadError(f"'{filename}' was not downloaded", value=filename, why="the answer was no")
        raise DownloadError(
            f"{what}, which is not made without being asked for", value=total,
            why=f"the limit is {_shown(limit)}, and there is no terminal to ask at",
            hint=f"set {VARIABLE}={_next(total)} (or none) and run again",
        )  # fmt: skip


def download_limit() -> int | None:
    """Return the limit that ``MF_DOWNLOAD_LIMIT`` sets, in bytes; None: there is none.

    Raises:
        ArgumentError: The variable is not a size.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return DEFAULT
    if text.lower() == "none":
        return None
    match = _SIZE.match(text)
    if match is None or len(match[1]) > 18:
        raise ArgumentError(f"{VARIABLE}={text!r} is not a size", value=text, hint="such as 500MB, 20GB or none")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _reads_a_terminal() -> bool:
    try:
        return bool(sys.stdin.isatty())
    except (AttributeError, ValueError):  # None, an object that is no file, or a closed one
        return False


def _shown(size: int) -> str:
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _next(size: int) -> str:
    """Return a round size above ``size``, as the variable takes it."""
    unit, name = (10**9, "GB") if size >= 10**9 else (10**6, "MB") if size >= 10**6 else (10**3, "kB")
    return f"{size // unit + 1}{name}"
