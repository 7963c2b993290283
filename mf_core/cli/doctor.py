"""``mf doctor``: looks for what is wrong with the installation, offline and without touching a device."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import printable
from .table import print_json

if TYPE_CHECKING:
    from ..diagnosis import Finding


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="look for what is wrong with the installation")
    parser.add_argument("--backend", metavar="NAME", help="look at one backend only, piece by piece, and require it")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--verbose", action="store_true", help="a line for each thing that is as it should be, too")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings, the worst first; return 1 where one is an error, or with ``--strict`` a warning."""
    from ..diagnosis import LEVELS, examine_all, examine_backend

    if options.backend:
        findings = list(examine_backend(options.backend))
    else:
        findings = sorted(examine_all(), key=lambda finding: LEVELS.index(finding.level))
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings, in_full=bool(options.verbose or options.backend))
    bad = ("error", "warning") if options.strict else ("error",)
    return int(any(finding.level in bad for finding in findings))


def _print(findings: Sequence[Finding], in_full: bool) -> None:
    fine = []
    for finding in findings:
        if finding.level == "ok" and not in_full:
            fine.append(f"{finding.subject} {finding.message}")
            continue
        print(printable(f"{finding.level:8s}{finding.subject}: {finding.message}", 2000))
        if finding.where:
            print(printable(f"        at:  {finding.where}", 2000))
        if finding.hint:
            print(printable(f"        try: {finding.hint}", 2000))
    if fine:
        print("ok      " + printable("; ".join(fine), 10_000))
