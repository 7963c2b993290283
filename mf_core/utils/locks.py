"""Locks between processes: one run in a folder, one writer of a file; a lock ends with the process that holds it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, printable

#: Names a run's process, in the folder that the run writes to.
RUN_LOCK_FILE = ".mf-run.lock"
#: Most bytes that are read of a lock file.
_LIMIT = 4096
#: Seconds without the lock before a message says who is waited for.
_PATIENCE = 5.0
#: Seconds that a step, which renames files and waits for the disk, is waited for.
_LONGEST_STEP = 120.0

logger = logging.getLogger("mf_core")


class RunLock:
    """Keeps a folder for one run; others that want it get an error with the holder's process, host and start.

    The operating system releases the lock when its process ends, however it ends, so a killed run leaves none behind.

    Args:
        folder: The run's output folder, created if missing.

    Raises:
        CheckpointError: Another run has it.
    """

    def __init__(self, folder: str | Path) -> None:
        from filelock import FileLock, Timeout

        self.path = Path(folder) / RUN_LOCK_FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise CheckpointError(
                f"another run writes to {str(folder)!r}", value=str(folder), why=holder(self.path),
                hint="wait for it, end it, or choose another output_dir",
            ) from error  # fmt: skip
        _sign(self.path)

    def release(self) -> None:
        """Let others have the folder; to be called once the run's last file is written. More calls do nothing."""
        if self._lock.is_locked:
            with suppress(OSError):
                self.path.write_text("")  # no one holds it; the file stays, since waiting processes lock its inode
            self._lock.release()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


@contextmanager
def wait_for(path: Path, limit: float | None = None) -> Iterator[None]:
    """Keep the lock file at ``path`` during the block; wait while another process or thread has it.

    Args:
        path: The lock file.
        limit: Seconds to wait; None: there is no limit.

    Raises:
        CheckpointError: The limit has passed.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        logger.warning("waiting for the lock %s: %s", path, holder(path))
        try:
            lock.acquire(timeout=-1 if limit is None else max(0.0, limit - _PATIENCE))
        except Timeout as error:
            raise CheckpointError(
                f"another process has kept the lock {path} for {limit:.0f} s", value=str(path), why=holder(path),
                hint="see whether that process is stopped; continue or end it, and try again",
            ) from error  # fmt: skip
    try:
        _sign(path)
        yield
    finally:
        lock.release()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine from changing a folder in one step, for the time of the block.

    The lock file is in the system's temporary folder, so that none is left in folders that users look at.

    Raises:
        CheckpointError: Another process has it for longer than a step takes: it is stopped.
    """
    key = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    user = os.getuid() if hasattr(os, "getuid") else 0
    locks = Path(tempfile.gettempdir()) / f"mf-locks-{user}"
    with suppress(FileExistsError):
        locks.mkdir(mode=0o700)
    with wait_for(locks / f"{key}.lock", _LONGEST_STEP):
        yield


def holder(path: Path) -> str:
    """Return in words who holds the lock file at ``path``, as far as the file says."""
    try:
        with path.open("rb") as file:
            data: Any = json.loads(file.read(_LIMIT))
        pid, host, start = int(data["pid"]), printable(str(data["host"]), 80), float(data["start"])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "its process is not known"
    return f"process {pid} on {host} holds it since {since}"


def _sign(path: Path) -> None:
    """Write into a lock file who holds it; a lock that cannot be signed still holds."""
    with suppress(OSError):
        path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "start": time.time()}))
