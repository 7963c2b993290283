"""``mf models`` and ``mf plugins``: what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import printable
from ..plugins.published import PublishedPreset, published
from ..plugins.registry import registry
from ..specs import Preset
from . import check, new
from .table import print_json, print_table


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    models = commands.add_parser("models", help="list the models that installed plugins offer")
    models.add_argument(
        "--installable", action="store_true", help="list those of the project's plugins that are not installed"
    )
    models.add_argument("--json", action="store_true", help="as JSON")
    models.set_defaults(run=run_models)
    plugins = commands.add_parser("plugins", help="list the plugins and their states")
    plugins.add_argument("--json", action="store_true", help="as JSON")
    plugins.add_argument("--verbose", action="store_true", help="with locations and tracebacks")
    plugins.set_defaults(run=run_plugins)
    actions = plugins.add_subparsers(title="actions", metavar="ACTION")
    new.add_commands(actions)
    check.add_command(actions)


def run_models(options: argparse.Namespace) -> int:
    """List the presets, by family."""
    rows = _installable() if options.installable else _installed()
    rows.sort(key=lambda row: (row["family"], row["parameters"], row["name"]))
    if options.json:
        print_json(rows)
    elif rows:
        _print_families(rows)
    elif options.installable:
        print("all that the project publishes is installed")
    else:
        print("no models are installed; `mf models --installable` lists what could be")
    return 0


def _installed() -> list[dict[str, Any]]:
    rows = []
    for entry in registry.entries("preset"):
        preset = entry.preset
        assert preset is not None
        rows.append(_row(entry.name, entry.model_type, preset, entry.owner))
    return rows


def _installable() -> list[dict[str, Any]]:
    """Return the presets of the project's plugins that are not installed; a row for a plugin that has none."""
    present = {record.distribution for record in registry.records}
    rows = []
    for plugin in published().values():
        if plugin.distribution not in present:
            rows += [_row(preset.name, preset.family, preset, plugin.distribution) for preset in plugin.presets]
            if not plugin.presets:
                rows.append({
                    "name": "", "alias_of": None, "family": ", ".join((*plugin.families, *plugin.backends)),
                    "parameters": 0, "description": plugin.description, "license": "", "weights": None,
                    "distribution": plugin.distribution,
                })  # fmt: skip
    return rows


def _row(name: str, family: str, preset: Preset | PublishedPreset, distribution: str) -> dict[str, Any]:
    return {
        "name": name, "alias_of": None if name == preset.name else preset.name, "family": family,
        "parameters": preset.parameters, "description": preset.description, "license": preset.license,
        "weights": preset.weights, "distribution": distribution,
    }  # fmt: skip


def _print_families(rows: list[dict[str, Any]]) -> None:
    """Print a table whose rows are grouped by family: its name stands in the first of them. Aliases are left out."""
    cells, family = [], None
    for row in rows:
        if row["alias_of"]:
            continue
        named = "" if (row["family"], row["distribution"]) == family else row["family"]
        family = row["family"], row["distribution"]
        cells.append([
            named, row["name"], _size(row["parameters"]), row["license"] or "-", _source(row["weights"]),
            row["distribution"], row["description"],
        ])  # fmt: skip
    print_table(("FAMILY", "NAME", "SIZE", "LICENSE", "WEIGHTS", "DISTRIBUTION", "DESCRIPTION"), cells)


def _size(parameters: int) -> str:
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return "-"


def _source(weights: str | None) -> str:
    """Return where a preset's weights come from, without the revision; and whether they may change there."""
    if weights is None:
        return "not published"
    kind, _, rest = weights.partition(":")
    if kind != "hub":
        return "in the package" if kind == "package" else weights
    repository, pinned, _ = rest.partition("@")
    return repository if pinned else f"{repository} (unpinned)"


def run_plugins(options: argparse.Namespace) -> int:
    """List the plugins."""
    records = registry.records
    if options.json:
        print_json([record.as_dict() for record in records])
        return 0
    columns = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "MS", "INSTALLED", "WHY")
    print_table(
        columns,
        [[r.name, r.distribution, r.version, r.state, f"{r.load_ms:.1f}", r.installed, r.remark] for r in records],
    )
    if options.verbose:
        for record in records:
            print(f"\n{record.distribution}:{record.name} ({record.module}) in {record.location}")
            if record.direct_url:
                print(f"  installed from {record.direct_url}")
            print(f"  {len(record.specs)} specs, group {record.group}")
            if record.where:
                print(f"  at: {record.where}")
            for line in record.traceback.splitlines():
                print("  " + printable(line))
    return 0
