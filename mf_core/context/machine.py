"""What this machine has for a cluster: msrun, room for the processes, a port, a folder for logs."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import socket
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ..backends.base import Probe
from ..errors import ArgumentError, NotInstalledError

#: Where logs go; a launch that finds another at work there takes ``…-2``, and so on.
LOG_DIR = "output/msrun_log"
#: In such a folder: locked by the launch that uses it, and left there.
_LOCK = ".lock"
#: Memory that MindSpore takes in each process, before there is any model.
PROCESS_BYTES = 400e6


def find_msrun() -> Path:
    """Return the script ``msrun`` of the MindSpore that this interpreter imports.

    Raises:
        NotInstalledError: There is none.
    """
    if importlib.util.find_spec("mindspore") is None:
        raise NotInstalledError(
            "MindSpore, whose msrun starts clusters, is not installed", value="mindspore",
            why=f"{sys.executable} does not find it", hint="pip install mf-cpu-backend",
        )  # fmt: skip
    schemes = (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user"))
    folders = [str(Path(sys.executable).parent), *schemes]
    for folder in folders:
        if (Path(folder) / "msrun").is_file():
            return Path(folder) / "msrun"
    raise NotInstalledError(
        "there is no msrun", value="msrun", why=f"MindSpore is installed, but none of {', '.join(folders)} has it",
        hint="pip install --force-reinstall --no-deps mindspore",
    )  # fmt: skip


def check_resources(workers: int, backend: str, probe: Probe) -> None:
    """Raise ArgumentError where the machine has not the devices or the memory for that many processes."""
    devices = probe.device_count
    if backend != "cpu" and workers > devices:  # processes share the one device of the cpu
        raise ArgumentError(
            f"{workers} processes need as many {backend} devices; there {'is' if devices == 1 else 'are'} {devices}",
            value=workers, hint=f"--workers {devices}; or MF_BACKEND=cpu",
        )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if workers * PROCESS_BYTES > memory:
        raise ArgumentError(
            f"{workers} processes do not fit in this machine's {memory / 1e9:.0f} GB of memory", value=workers,
            why=f"MindSpore alone takes {PROCESS_BYTES / 1e9:.1f} GB in each",
            hint=f"--workers {max(1, int(memory / PROCESS_BYTES / 2))} or fewer",
        )  # fmt: skip


def thread_variables(workers: int, probe: Probe) -> dict[str, str]:
    """Return the variables, of those that the user has not set, that give each process its share of the cores."""
    threads = probe.details.get("threads", "")  # the CPU backend's count respects a container's quota
    cores = int(threads) if threads.isdecimal() else len(os.sched_getaffinity(0))
    share = str(max(1, cores // workers))
    return {name: share for name in ("MF_NUM_THREADS", "OMP_NUM_THREADS") if not os.environ.get(name)}


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def check_port(port: int, *, here: bool) -> None:
    """Raise ArgumentError where msrun cannot use a port, or where it is to be of this machine and is taken."""
    if not 1024 <= port <= 65535:
        raise ArgumentError(f"--port {port} is not from 1024 to 65535", value=port, hint="leave --port out")
    if not here:
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError as error:
            taken = "another program listens at it" if error.errno == errno.EADDRINUSE else str(error)
            raise ArgumentError(
                f"--port {port} cannot be used", value=port, why=taken, hint="leave --port out: a free one is found"
            ) from error


@contextmanager
def log_folder(asked: str | None) -> Iterator[tuple[Path, int]]:
    """Make a folder for logs, keep it from other launches within the block, and take logs of earlier ones out of it.

    Args:
        asked: The folder; None: :data:`LOG_DIR`, or a like name that is free.

    Yields:
        The folder, and the descriptor of the lock: the folder is kept till every process that has it ends.

    Raises:
        ArgumentError: The folder cannot be made, another launch uses it, or it holds logs of another program.
    """
    folder = Path(asked or LOG_DIR)
    numbers = count(2)
    while (foreign := _foreign_log(folder)) is not None or (lock := _lock(folder)) is None:
        if asked and foreign is not None:
            raise ArgumentError(
                f"--log-dir {asked!r} holds logs of another program", value=str(foreign),
                why=f"{foreign.name!r} was not written by mf launch, and would be removed", hint="name another folder",
            )  # fmt: skip
        if asked:
            raise ArgumentError(
                f"--log-dir {asked!r} is in use by another mf launch", value=asked, hint="name another folder"
            )
        folder = Path(f"{LOG_DIR}-{next(numbers)}")
    try:
        for path in _logs(folder):
            path.unlink()
        yield folder, lock
    finally:
        os.close(lock)


def _logs(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if re.fullmatch(r"(worker_\d+|scheduler)\.log", path.name)]


def _foreign_log(folder: Path) -> Path | None:
    """Return a log in a folder that has not the lock file which a launch leaves beside its own."""
    if not folder.is_dir() or (folder / _LOCK).is_file():
        return None
    return next(iter(_logs(folder)), None)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None: another process has it."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ArgumentError(
            f"logs cannot be written to {str(folder)!r}", value=str(folder), why=str(error), hint="name a --log-dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
