"""What runs in a separate process: one plugin is loaded, or one backend probed, and what came of it is written down.

The process ends at once afterwards, whatever threads the plugin has left in it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..plugins.discovery import PluginRecord, Spec


def main() -> None:
    """Run one task: the arguments are the answer's file, the task and its options as JSON."""
    path, task, text = sys.argv[1:]
    answer = {"load": _load, "probe": _probe}[task](json.loads(text))
    Path(path).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)


def _load(given: Mapping[str, Any]) -> dict[str, Any]:
    import traceback  # noqa: F401  # the loader's own need, which is not to be counted as the plugin's

    from ..plugins.loading import Loader
    from ..plugins.traceback_origin import plugin_line  # noqa: F401
    from ..utils.process_state import changes, look, watching_files

    record = PluginRecord(**given)
    loader = Loader()
    before, modules = look(), set(sys.modules)
    with watching_files() as events:
        loader.load(record)
    changed = [what for what in changes(before) if what != "sys.meta_path"]  # many libraries add to it, and must
    module = sys.modules.get(record.module)
    return {
        "state": record.state, "reason": record.reason, "hint": record.hint if record.error else "",
        "where": record.where, "load_ms": record.load_ms, "meddling": [*record.meddling, *changed],
        "files": [event for event in events if not _is_bytecode(event)],
        "packages": sorted({name.partition(".")[0] for name in set(sys.modules) - modules}),
        "file": str(getattr(module, "__file__", None) or ""),
        "specs": [_plain(spec) for spec in record.specs],
    }  # fmt: skip


def _is_bytecode(event: str) -> bool:
    """Return whether Python itself writes its import cache, or writes into a descriptor that it has opened."""
    own = bool(sys.pycache_prefix and sys.pycache_prefix in event)
    return own or "__pycache__" in event or re.fullmatch(r"writes \d+", event) is not None


def _plain(spec: Spec) -> list[Any]:
    """Return a spec's kind and fields as plain data; of presets, their names."""
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    if "presets" in values:
        values["presets"] = [{"name": preset.name, "aliases": preset.aliases} for preset in values["presets"]]
    return [type(spec).__name__, values]


def _probe(given: Mapping[str, Any]) -> dict[str, Any]:
    from ..errors import MFError, describe, printable
    from ..plugins.registry import load_target

    try:
        probe = load_target(given["target"], given["owner"])().probe()
        return {
            "available": bool(probe.available), "reason": printable(probe.reason), "devices": int(probe.device_count),
            "details": {printable(key): printable(value) for key, value in probe.details.items()},
            "checks": [
                {"name": check.name, "text": printable(str(check)), "remedy": printable(check.remedy)}
                for check in probe.checks
                if not check.ok
            ],
        }  # fmt: skip
    except BaseException as error:
        return {"error": describe(error), "hint": (error.hint or "") if isinstance(error, MFError) else ""}
