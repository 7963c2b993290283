"""Examining a plugin in a fresh process."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import describe
from ..contracts.contract import Fault

#: Seconds after which a process is given up.
PATIENCE = 180

_CALL = """
import importlib, json, sys
module, function, arguments = json.loads(sys.stdin.read())
result = getattr(importlib.import_module(module), function)(*arguments)
print("\\n" + json.dumps(result))
"""


def in_fresh_process(function: Callable[..., Any], *arguments: Any, untouched: bool = False) -> Any:
    """Return what a function of a module gives when a new interpreter calls it, in an empty folder.

    Args:
        function: Named by its module, which is imported there; its result can be written as JSON.
        *arguments: Likewise.
        untouched: Whether to start with the environment variables that this process itself started with.

    Raises:
        Fault: It fails there, or does not end.
    """
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    message = json.dumps([function.__module__, function.__name__, list(arguments)])
    environment = {**(_started_with() if untouched else os.environ), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="mf-check-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CALL], input=message, cwd=folder, env=environment, capture_output=True,
                text=True, timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Fault(f"a fresh process ({name}) did not end in {PATIENCE} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-12:] or [f"exit code {done.returncode}, and nothing said"]
        raise Fault(f"a fresh process ({name}) failed:\n    " + "\n    ".join(last))
    return json.loads(done.stdout.strip().splitlines()[-1])


def _started_with() -> dict[str, str]:
    """Return the environment that this process was started with: plugins that were loaded since may have changed it."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # not on Linux
        return dict(os.environ)
    pairs = (os.fsdecode(line).partition("=") for line in lines if b"=" in line)
    return {name: value for name, _, value in pairs}


def across_spawn(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``function`` gives when a process of ``multiprocessing``'s kind ``spawn`` calls it.

    Function, arguments and result are pickled on their way.

    Raises:
        Fault: Something does not pickle, or the call fails there.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, function, arguments), daemon=True)
    try:
        process.start()
    except Exception as error:
        raise Fault(f"it cannot be given to another process: {describe(error)}") from error
    theirs.close()
    try:
        if not mine.poll(PATIENCE):
            raise Fault(f"another process did not answer in {PATIENCE} s")
        fine, result = mine.recv()
    except EOFError as error:
        raise Fault("another process ended without an answer: what it was given cannot be unpickled there") from error
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
    if not fine:
        raise Fault(f"in another process: {result}")
    return result


def _answer(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        answer = (True, function(*arguments))
    except Exception as error:
        answer = (False, describe(error))
    pipe.send(answer)
