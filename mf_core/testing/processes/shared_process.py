"""A second process shared by several checks that need another process, but not a fresh one."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from ...errors import describe
from ..contracts.contract import Fault
from .run import PATIENCE

_SERVE = """
import sys
sys.path[:] = eval(sys.argv[2])
from mf_core.testing.processes.serve import serve
serve(int(sys.argv[1]))
"""


class _Process:
    """A running interpreter that calls functions; it ends when its socket is closed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.folder = tempfile.TemporaryDirectory(prefix="mf-check-")
        self.errors = Path(self.folder.name) / "stderr"
        (Path(self.folder.name) / "work").mkdir()
        mine, theirs = socket.socketpair()
        with theirs, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, str(theirs.fileno()), repr(sys.path)], pass_fds=[theirs.fileno()],
                cwd=Path(self.folder.name) / "work", env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        self.connection = Connection(mine.detach())

    def call(self, message: bytes) -> tuple[bool, Any]:
        self.connection.send_bytes(message)
        if not self.connection.poll(PATIENCE):
            raise TimeoutError(f"another process did not answer in {PATIENCE} s")
        answer: tuple[bool, Any] = self.connection.recv()
        return answer

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


_running: list[_Process] = []


def in_other_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of a module gives when another process, which later calls use too, calls it.

    Function, arguments and result are pickled on their way. A new process is started when the environment variables
    are no longer those of the running one, and when that has ended.

    Raises:
        Fault: Something does not pickle, or the call fails there.
    """
    try:
        message = bytes(ForkingPickler.dumps((function, arguments)))
    except Exception as error:
        raise Fault(f"it cannot be given to another process: {describe(error)}") from error
    try:
        fine, result = _process().call(message)
    except TimeoutError as error:
        _end()
        raise Fault(str(error)) from error
    except (EOFError, OSError) as error:
        last = " | ".join(_running[0].errors.read_text(errors="replace").strip().splitlines()[-12:])
        _end()
        raise Fault(f"another process ended without an answer: {last or 'nothing said'}") from error
    if not fine:
        raise Fault(f"in another process: {result}")
    return result


def _process() -> _Process:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    if _running and _running[0].environment != environment:
        _end()
    if not _running:
        _running.append(_Process(environment))
    return _running[0]


@atexit.register
def _end() -> None:
    while _running:
        _running.pop().close()
