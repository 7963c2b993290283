"""Ends the processes of a cluster when their launcher ends, also by a signal that it cannot handle.

Runs as a script, in a separate process, with the standard library alone; its standard input is a pipe from the
launcher, which says on it which processes are the workers. When the pipe ends, so has the launcher.

The processes of a cluster, and those that they start, are known by a variable in the environment that they began with.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

#: Has its own value in the processes of each cluster that ``mf launch`` starts.
MARK = "MF_LAUNCH_ID"


def environment(pid: int) -> dict[str, str]:
    """Return the environment that a process began with; empty where it has ended or is another user's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            items = os.fsdecode(file.read()).split("\0")
    except OSError:
        return {}
    return {name: value for name, _, value in (item.partition("=") for item in items)}


def members(mark: str) -> set[int]:
    """Return the processes, of those that live, that carry a mark."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return {pid for pid in pids if environment(pid).get(MARK) == mark}


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes; ignore those that have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(
    mark: str, workers: Iterable[int], grace: float, meanwhile: Callable[[], bool], number: int = signal.SIGTERM
) -> set[int]:
    """End the processes that carry a mark, and return when there are none.

    Args:
        mark: Theirs.
        workers: Those that get a signal first; the others serve them, and may be needed until they end.
        grace: Seconds that the workers have for it. Then, or when they have ended, all get SIGKILL.
        meanwhile: Called again and again while they end; returns whether the rest of the seconds is off.
        number: The signal that the workers get.

    Returns:
        The workers that did not end by themselves.
    """
    left = members(mark).intersection(workers)
    send(left, number)
    limit = time.monotonic() + grace
    while left and time.monotonic() < limit and not meanwhile():
        time.sleep(0.05)
        left &= members(mark)
    while pids := members(mark):
        send(pids, signal.SIGKILL)
        meanwhile()
        time.sleep(0.02)
    meanwhile()
    return left


def main(mark: str, grace: str, folder: str, log: str, *pipes: str) -> None:
    """Wait for the launcher's end, and end what is left then.

    Args:
        mark: The cluster's.
        grace: Seconds that the workers have to end in.
        folder: The launcher's own files, which are deleted.
        log: The file that takes what comes out of the pipes when the launcher no longer reads them.
        pipes: The descriptors that a worker's output comes from; they do not block.
    """
    workers = [int(pid) for pid in sys.stdin.read().split()]

    def drain() -> bool:
        with open(log, "ab") as file:
            for pipe in map(int, pipes):
                with suppress(BlockingIOError):
                    while data := os.read(pipe, 1 << 16):
                        file.write(data)
        return False

    if members(mark):
        end(mark, workers, float(grace), drain)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
