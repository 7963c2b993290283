"""Examination of plugins: each is loaded in a separate process, with a time limit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import specs
from ..plugins.discovery import BUDGET_MS, PluginRecord, Spec
from ..plugins.loading import timeout

_RUN = "from mf_core.diagnosis.child import main; main()"
_IMPORT_TIME = re.compile(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)")


@dataclass(frozen=True)
class Examination:
    """The outcome of loading a plugin in a separate process.

    Attributes:
        record: As the registry would have it.
        ended: Why there is no answer, where the process did not live to give one.
        answer: What :mod:`~mf_core.diagnosis.child` wrote down; empty where the plugin was not to be loaded.
        heaviest: The foreign package that took longest to import, and how long in ms; of slow plugins alone.
    """

    record: PluginRecord
    ended: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    heaviest: tuple[str, float] = ("", 0.0)


def examine(records: Sequence[PluginRecord]) -> list[Examination]:
    """Return the outcome of each plugin, in the same order."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(_examine, records))


def ask(task: str, given: Mapping[str, Any], *options: str) -> tuple[Any, str, str]:
    """Do a task of :mod:`~mf_core.diagnosis.child` in a new process.

    Returns:
        Its answer, or None and why there is none; and what the process wrote to standard error.
    """
    limit = (timeout() or 50) + 10
    with tempfile.TemporaryDirectory(prefix="mf-doctor-") as folder:
        path = Path(folder) / "answer"
        command = [sys.executable, *options, "-c", _RUN, str(path), task, json.dumps(given)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=os.getcwd()
        )
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, f"it did not end in {limit:.0f} s, and could not be interrupted", ""
        said = errors.decode(errors="replace")
        try:
            return json.loads(path.read_text(encoding="utf-8")), "", said
        except (OSError, ValueError):
            code = process.returncode
            how = f"signal {-code} ended" if code < 0 else f"it ended, with exit code {code},"
            return None, f"{how} the process that loaded it", said


def _examine(record: PluginRecord) -> Examination:
    if record.state != "loaded":
        return Examination(record)
    keys = ("name", "module", "distribution", "version", "location", "group")
    given = {key: getattr(record, key) for key in keys}
    answer, ended, _ = ask("load", given)
    if answer is None:
        return Examination(replace(record, state="failed"), ended)
    heaviest = ("", 0.0)
    if answer["load_ms"] > BUDGET_MS and answer["state"] == "loaded":
        again, _, _ = ask("load", given)  # the first may have compiled its modules, or met a busy machine
        answer = min(filter(None, [answer, again]), key=lambda each: each["load_ms"])
        if answer["load_ms"] > BUDGET_MS:
            _, _, said = ask("load", given, "-X", "importtime")
            heaviest = _heaviest(said, {record.module.partition(".")[0], "mf_core"})
    loaded = replace(
        record, state=answer["state"], load_ms=answer["load_ms"], where=answer["where"],
        specs=tuple(_spec(*each) for each in answer["specs"]),
    )  # fmt: skip
    return Examination(loaded, "", answer, heaviest)


def _spec(kind: str, values: dict[str, Any]) -> Spec:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if "presets" in values:
        presets = (specs.Preset(name=each["name"], aliases=tuple(each["aliases"])) for each in values["presets"])
        values["presets"] = tuple(presets)
    made: Spec = getattr(specs, kind)(**values)
    return made


def _heaviest(report: str, own: set[str]) -> tuple[str, float]:
    """Return the package that took longest in a report of ``-X importtime``, and its ms, but for the plugin's own."""
    times = {match[2]: int(match[1]) / 1e3 for match in _IMPORT_TIME.finditer(report)}
    foreign = {
        name: ms for name, ms in times.items()
        if "." not in name and name not in own and name not in sys.stdlib_module_names
    }  # fmt: skip
    return max(foreign.items(), key=lambda item: item[1], default=("", 0.0))
