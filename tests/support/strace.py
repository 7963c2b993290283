"""Processes that are killed or stopped at a chosen system call, by strace's fault injection.

The processes are forks, so that what they import is imported once. A child stops itself; strace is attached to it, and
it goes on. strace counts the calls of each name apart, and of each thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

#: System calls that change names or wait for the disk, and those that open and write.
STEPS = ("rename", "fsync", "unlink", "unlinkat", "rmdir", "mkdir")
WRITES = ("openat", "write")
_PATIENCE = 120.0


def available() -> str:
    """Return why strace cannot be used here; an empty text: it can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "there is no strace"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"strace cannot trace here: {done.stderr.strip()[:200]}"


def fork(function: Callable[[], object]) -> int:
    """Return the process id of a child that runs ``function``; what it prints is lost."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        if not os.environ.get("MF_TEST_VERBOSE"):
            os.dup2(null, 2)
        function()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def pause() -> None:
    """Stop this process until strace is attached to it."""
    os.kill(os.getpid(), signal.SIGSTOP)


def inject(child: int, call: str, number: int, what: str = "SIGKILL") -> subprocess.Popen:
    """Wait until ``child`` has stopped itself; send it the signal ``what`` at its ``number``-th call from here on."""
    end = time.monotonic() + _PATIENCE
    while True:
        done, status = os.waitpid(child, os.WUNTRACED | os.WNOHANG)
        if done and os.WIFSTOPPED(status):
            break
        if done:
            raise ChildProcessError(f"ended with {os.waitstatus_to_exitcode(status)} before it stopped itself")
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            raise TimeoutError("the child did not stop itself")
        time.sleep(0.005)
    command = ["strace", "-f", "-o", os.devnull, "-p", str(child), "-e", f"trace={call}",
               "-e", f"inject={call}:signal={what}:when={number}"]  # fmt: skip
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, line
    os.kill(child, signal.SIGCONT)
    return tracer


def wait(child: int, tracer: subprocess.Popen | None = None) -> int:
    """Return how a child ended: its exit code, or minus the signal's number."""
    end = time.monotonic() + _PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    if tracer is not None and tracer.stderr is not None:
        tracer.wait()
        tracer.stderr.close()
    return os.waitstatus_to_exitcode(status)


def runs_until_stopped(child: int) -> bool:
    """Return True once a child has been stopped by the injected signal, False once it has ended without that."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if _state(child) == "Z":
            return False
        if is_stopped(child):
            return True
    raise TimeoutError("the child neither stopped nor ended")


def is_stopped(child: int) -> bool:
    """Return whether a child is stopped, for longer than strace stops it at each call."""
    for _ in range(5):
        if _state(child) not in "tT":
            return False
        time.sleep(0.01)
    return True


def go_on(child: int) -> None:
    """Continue a stopped child."""
    while is_stopped(child):
        os.kill(child, signal.SIGCONT)


def _state(child: int) -> str:
    with open(f"/proc/{child}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
