"""Processes that measure: one for each engine, asked as often as there are rounds.

``Worker("module:function", **settings)`` starts this file, which calls the function with the settings. What it returns
is called with each request, and gives an answer that JSON can hold.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from typing import Any

_MARK = "ANSWER "


class Worker:
    """A separate process.

    Attributes:
        failure: Why there are no more answers; empty as long as there are.
    """

    def __init__(self, target: str, **settings: Any) -> None:
        self.failure = ""
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - __exit__ closes it
        self._process = subprocess.Popen(
            [sys.executable, __file__, target, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True,
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        """Return the answer, or None when the process has failed, now or before."""
        if self.failure:
            return None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it failed as it started
            pass
        for line in self._process.stdout:
            if line.startswith(_MARK):
                return json.loads(line[len(_MARK) :])
        self._log.seek(0)
        lines = self._log.read().split("\n")
        code = self._process.wait()
        self.failure = next((line.strip() for line in reversed(lines) if line.strip()), f"ended with {code}")
        return None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its requests is its own end
        self._log.close()


def ask_once(target: str, **settings: Any) -> tuple[Any, str]:
    """Return the answer of a fresh process to one empty request, and its failure."""
    with Worker(target, **settings) as worker:
        return worker.ask(), worker.failure


def _serve(target: str, settings: str) -> None:
    module, _, function = target.partition(":")
    answer = getattr(importlib.import_module(module), function)(**json.loads(settings))
    for line in sys.stdin:
        print("\n" + _MARK + json.dumps(answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
