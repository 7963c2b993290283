"""Code shared by network sources: checksums and errors."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ..errors import DownloadError, IntegrityError, MFError
from .size_limit import SizeLimit
from .source import Source

#: ``errno`` of a disk that is full or cannot be written.
_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})

#: Lines of other libraries' messages that give advice: ours is in the hint, and may differ.
_ADVICE: Final = re.compile(r"(Please|This is usually|If you|For more|Make sure)\b")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from, outermost first."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        yield link
        link = link.__cause__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that the error, or what it was raised from, carries."""
    for link in chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def cause_of(error: BaseException) -> str:
    """Return the innermost reason in one line."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the hub's client says "not found locally", raised from the reason
    lines = [line for line in str(error).splitlines() if not _ADVICE.match(line.strip())]
    text = " ".join(" ".join(lines).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


class Remote(Source):
    """A source on the network.

    Attributes:
        access_hint: What to do when access is refused.
    """

    access_hint: str

    def __init__(self, location: str, sha256: Mapping[str, str]) -> None:
        super().__init__(location)
        self._sha256 = sha256
        self._size_limit = SizeLimit(location)

    def differs(self, filename: str, actual: str, *, size: int, left: object = None) -> IntegrityError:
        """Return the error for a file whose SHA-256 is not the listed one; ``left`` is a bad copy that stays."""
        again = f"remove {left} and run again" if left else "run again: the bad copy is gone and will be fetched again"
        return IntegrityError(
            f"'{filename}' from {self.location} is not the file it should be",
            value=filename,
            why=f"its SHA-256 is {actual} ({size} bytes), expected {self._sha256[filename]}",
            hint=f"{again}; if it differs again, the file has changed at its source: update the package that lists the"
            " checksum, or pin a revision",
        )

    def failed(self, filename: str, error: BaseException) -> MFError:
        """Return the error for a download that ended in ``error``, which may be of any library."""
        name = f"'{filename}' from {self.location}"
        status = status_of(error)
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            what = f"{name} could not be written to the cache"
            hint = "free some disk space, or put the caches on another disk with MF_CACHE and HF_HOME"
        elif status in (401, 403):
            what, hint = f"access to {name} is refused (status {status})", self.access_hint
        elif status == 429:
            what = f"the server refuses {name} because of too many requests (status 429)"
            hint = "wait some minutes and run again; on the hub a token in HF_TOKEN raises the limit"
        elif status is not None and status >= 500:
            what, hint = f"the server failed on {name} (status {status})", "the fault is the server's: run again later"
        else:
            what = f"{name} could not be downloaded"
            hint = "check the network and the proxy settings, then run again"
        return DownloadError(what, value=filename, why=cause_of(error), hint=hint)
