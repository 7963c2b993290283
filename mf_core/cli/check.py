"""``mf plugins check``: run the conformance kit on a plugin and print a report."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, NotInstalledError, NotRegisteredError, did_you_mean, printable
from ..plugins.registry import registry
from .table import print_json

#: Outcome -> how the report shows it.
_SHOWN = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped"}


def add_command(commands: Any) -> None:
    """Add the command to those of ``mf plugins``."""
    parser = commands.add_parser("check", help="check that a plugin keeps to the rules")
    parser.add_argument("distribution", metavar="DIST", help="the installed distribution, such as mf-gpt2")
    parser.add_argument("-k", metavar="WORDS", help="only checks whose names hold this, as pytest's -k")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="S", help="give up after S seconds (900)")
    parser.add_argument("--verbose", action="store_true", help="with the reason for each check")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check a plugin; return 1 where a check fails."""
    import importlib.util

    distribution = _known(options.distribution)
    if options.timeout <= 0:
        raise ArgumentError(f"--timeout {options.timeout} is not more than 0", value=options.timeout)
    if importlib.util.find_spec("pytest") is None:
        raise NotInstalledError(
            "mf plugins check needs pytest, which is not installed", value="pytest",
            hint="pip install 'mf-framework[testing]'",
        )  # fmt: skip
    events, ending = _run(distribution, ["-k", options.k] if options.k else [], options.timeout)
    report = _report(distribution, events, ending)
    if options.json:
        print_json(report)
    else:
        _print(report, verbose=options.verbose)
    if not report["contracts"]:
        raise ArgumentError(f"no check of {distribution} has {options.k!r} in its name" if options.k and not ending
                            else f"the checks of {distribution} did not begin: {ending}", value=options.k)  # fmt: skip
    return int(report["failed"] > 0)


def _known(name: str) -> str:
    """Return the distribution's normalized name; raise NotRegisteredError where no plugin of it is installed."""
    from ..plugins.manager import normalize

    known = list(dict.fromkeys(record.distribution for record in registry.records))
    wanted = normalize(name)
    if wanted not in known:
        raise NotRegisteredError(
            f"no plugin of a distribution {name!r} is installed", value=name, why=did_you_mean(wanted, known),
            hint=f"installed: {', '.join(known)}; `pip install --editable .` installs the one whose sources are here",
        )  # fmt: skip
    return wanted


def _run(distribution: str, more: list[str], timeout: float) -> tuple[list[dict[str, Any]], str]:
    """Run the checks in a separate process, since a plugin may crash or hang.

    Returns:
        What it wrote, and how it ended, in words; empty where all is well.
    """
    with tempfile.TemporaryDirectory(prefix="mf-check-") as folder:
        file = Path(folder, "report.jsonl")
        command = [sys.executable, "-m", "mf_core.testing", distribution, str(file), *more]
        own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        own["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other people's pytest plugins have no say in it
        try:
            done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            ending, code = f"it was given up after {timeout:g} s", -1
        else:
            code = done.returncode
            ending = f"the process was ended by signal {-code}" if code < 0 else f"the process ended with code {code}"
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            ending += f" ({printable(last[0])})" if last else ""
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return events, "" if any(event["event"] == "done" for event in events) else ending


def _report(distribution: str, events: list[dict[str, Any]], ending: str) -> dict[str, Any]:
    checks: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "planned":
            checks = {check["id"]: {**check, "outcome": None} for check in event["checks"]}
        elif event["event"] == "start" and event["id"] in checks:
            checks[event["id"]].update(outcome="failed", what=f"did not end: {ending}", hint="", seconds=0.0)
        elif event["event"] == "end" and event["id"] in checks:
            keys = ("outcome", "seconds", "what", "hint", "subject")
            checks[event["id"]].update({key: event[key] for key in keys})
    contracts: dict[str, dict[str, Any]] = {}
    for check in checks.values():
        if check["outcome"] is None:
            check.update(outcome="failed", what=f"was not run: {ending}", hint="", seconds=0.0)
        name = check["contract"]
        held = contracts.setdefault(name, {"contract": name, "subject": name.removeprefix("Test"), "checks": []})
        held["subject"] = check.get("subject") or held["subject"]
        held["checks"].append({key: check[key] for key in ("check", "outcome", "seconds", "why", "what", "hint")})
    record = next(r for r in registry.records if r.distribution == distribution)
    counts = [check["outcome"] for check in checks.values()]
    return {
        "distribution": distribution, "version": record.version, "location": record.location,
        "contracts": list(contracts.values()), **{name: counts.count(name) for name in _SHOWN},
    }  # fmt: skip


def _print(report: dict[str, Any], *, verbose: bool) -> None:
    print(f"{report['distribution']} {printable(report['version'])}, in {printable(report['location'])}")
    for contract in report["contracts"]:
        print(f"\n{printable(contract['subject'])}")
        for check in contract["checks"]:
            failed = check["outcome"] == "failed"
            print(f"  {_SHOWN[check['outcome']]}  {check['check']}"
                  + (f": {printable(check['what'])}" if check["outcome"] == "skipped" else ""))  # fmt: skip
            if failed:
                for line in check["what"].splitlines():
                    print(f"             {printable(line)}")
            if failed or verbose:
                print(f"             why it matters: {check['why']}")
            if failed and check["hint"]:
                print(f"             try: {printable(check['hint'])}")
    print("\n" + ", ".join(f"{report[name]} {name}" for name in _SHOWN))
