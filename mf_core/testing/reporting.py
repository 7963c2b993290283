"""A pytest plugin that writes the outcome of each check to a file as it ends, a line of JSON each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..errors import MFError, describe
from .contracts.contract import Fault, reason_of


class ResultRecorder:
    """Writes events: ``start`` and ``end`` of each check, and ``done`` when all have been run.

    Args:
        path: The file.
        packages: The plugin's own packages, whose last frame an unexpected error is located by.
    """

    def __init__(self, path: Path, packages: set[str]) -> None:
        self.file = path.open("w", encoding="utf-8")
        self.packages = packages

    def _write(self, event: str, **data: Any) -> None:
        self.file.write(json.dumps({"event": event, **data}) + "\n")
        self.file.flush()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the selected checks."""
        self._write("planned", checks=[_identity(item) for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write which check begins, in case it ends the process."""
        self._write("start", id=nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Write the outcome of a check."""
        outcome = yield
        report = outcome.get_result()
        if report.when != "call" and report.outcome == "passed":
            return
        what, hint = "", ""
        if report.outcome == "skipped":
            what = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        elif report.outcome == "failed" and call.excinfo is not None:
            what, hint = self._explain(call.excinfo.value)
        self._write(
            "end", id=item.nodeid, outcome=report.outcome, seconds=round(call.duration, 3), what=what, hint=hint,
            subject=_subject(item),
        )  # fmt: skip

    def _explain(self, error: BaseException) -> tuple[str, str]:
        if isinstance(error, Fault):
            return error.what, error.hint
        what = describe(error)
        if isinstance(error, MFError) and error.why:
            what += f": {error.why}"
        where = self._last_frame(error)
        return what + (f" ({where})" if where else ""), (error.hint or "") if isinstance(error, MFError) else ""

    def _last_frame(self, error: BaseException) -> str:
        """Return the last frame of an error in the plugin's code."""
        found, trace = "", error.__traceback__
        while trace is not None:
            module = str(trace.tb_frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] in self.packages:
                found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            trace = trace.tb_next
        return found

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write that the run has ended."""
        self._write("done", exitstatus=int(exitstatus))
        self.file.close()


def _subject(item: pytest.Item) -> str:
    """Return what a check looks at; only now, since choosing it may import the plugin's targets."""
    checks: Any = getattr(item, "instance", None)
    try:
        return str(checks.subject())
    except Exception as error:
        return f"{type(checks).__name__} ({describe(error)})"


def _identity(item: pytest.Item) -> dict[str, str]:
    """Return what is known of a check before it is run."""
    cls, function = getattr(item, "cls", None), getattr(item, "function", None)
    return {
        "id": item.nodeid,
        "contract": cls.__name__ if cls is not None else "",
        "check": item.name.removeprefix("test_").replace("_", " "),
        "why": reason_of(function) if function is not None else "",
    }
