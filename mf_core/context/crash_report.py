"""The end of the log of a process that died, and how it died."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last):"
#: Between the tracebacks of an error and of its cause.
_LINKS = ("The above exception was the direct cause", "During handling of the above exception")
#: A line of MindSpore's own log.
_LOGGED = re.compile(r"\[(INFO|WARNING|ERROR|CRITICAL)\] [A-Z_]+\(\d+,")
#: Lines that are shown at most, and without a traceback.
MOST, LAST = 100, 20


def exit_reason(code: int) -> str:
    """Return in words how a process ended: ``"exited with code 3"``, ``"was killed by SIGKILL"``.

    Args:
        code: As of :class:`subprocess.Popen`: minus the number of a signal that killed it.
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    note = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{note}"


def log_excerpt(log: Path, code: int) -> list[str]:
    """Return the last traceback in a log, with those of its causes; without one, the last lines.

    Args:
        log: The file; one that is not there counts as empty.
        code: As of :func:`exit_reason`. A process killed by a signal has no traceback.
    """
    lines = [line for line in _tail(log) if not _LOGGED.match(line)]
    starts = [number for number, line in enumerate(lines) if line == _TRACEBACK]
    if code < 0 or not starts:
        return lines[-LAST:]
    start = starts.pop()
    while starts and any(line.startswith(_LINKS) for line in lines[starts[-1] : start]):
        start = starts.pop()
    found = lines[start:]
    if len(found) > MOST:
        left_out = f"… {len(found) - MOST} lines …"
        found = [*found[: MOST // 2], left_out, *found[-MOST // 2 :]]
    return found


def _tail(log: Path, size: int = 1 << 18) -> list[str]:
    """Return the lines in the last ``size`` bytes, without the empty ones at the end."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rpartition("\r")[2] for line in text.rstrip().split("\n")] if text.strip() else []
