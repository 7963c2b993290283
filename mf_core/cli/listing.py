"""``mf models`` and ``mf plugins``: what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import printable
from ..plugins.registry import registry
from . import check, new
from .table import print_json, print_table


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    models = commands.add_parser("models", help="list the models that installed plugins offer")
    models.add_argument("--json", action="store_true", help="as JSON")
    models.set_defaults(run=run_models)
    plugins = commands.add_parser("plugins", help="list the plugins and what became of each")
    plugins.add_argument("--json", action="store_true", help="as JSON")
    plugins.add_argument("--verbose", action="store_true", help="with locations and tracebacks")
    plugins.set_defaults(run=run_plugins)
    actions = plugins.add_subparsers(title="actions", metavar="ACTION")
    new.add_commands(actions)
    check.add_command(actions)


def run_models(options: argparse.Namespace) -> int:
    """List the presets."""
    rows = []
    for entry in registry.entries("preset"):
        preset = entry.preset
        assert preset is not None
        rows.append({
            "name": entry.name, "family": entry.model_type, "description": preset.description,
            "license": preset.license, "weights": preset.weights, "distribution": entry.owner,
        })  # fmt: skip
    if options.json:
        print_json(rows)
    elif rows:
        columns = ("name", "family", "description", "license", "distribution")
        print_table([name.upper() for name in columns], [[row[name] or "-" for name in columns] for row in rows])
    else:
        print("no models are installed; pip install mf-gpt2 brings some")
    return 0


def run_plugins(options: argparse.Namespace) -> int:
    """List the plugins."""
    records = registry.records
    if options.json:
        print_json([record.as_dict() for record in records])
        return 0
    columns = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "MS", "WHY")
    print_table(
        columns, [[r.name, r.distribution, r.version, r.state, f"{r.load_ms:.1f}", r.remark] for r in records]
    )
    if options.verbose:
        for record in records:
            print(f"\n{record.distribution}:{record.name} ({record.module}) in {record.location}")
            print(f"  {len(record.specs)} specs, group {record.group}")
            if record.where:
                print(f"  at: {record.where}")
            for line in record.traceback.splitlines():
                print("  " + printable(line))
    return 0
