"""Environment variables that nothing reads, or that name what is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..cli.env import VARIABLES
from ..errors import did_you_mean, printable, shown
from ..plugins.discovery import PluginRecord, normalize
from ..plugins.registry import Registry
from .finding import Finding

#: Variables that the library sets for the processes that it starts.
_OWN = {"MF_LAUNCH_ID"}


def findings(records: Sequence[PluginRecord], registry: Registry) -> Iterator[Finding]:
    """Yield faults in the environment variables."""
    known = {name for name in VARIABLES if name.startswith("MF_")}
    for variable in sorted(os.environ):
        if variable.startswith("MF_") and variable not in known | _OWN:
            hint = did_you_mean(variable, known) or f"unset {variable}; `mf env` lists those that are read"
            yield Finding("warning", "settings", f"nothing reads {printable(variable)}", hint, "setting-unknown")
    plugins = {record.name for record in records} | {record.distribution for record in records}
    for variable in ("MF_PLUGINS", "MF_PLUGINS_BLOCK"):
        for name in _list(variable):
            if name not in plugins and normalize(name) not in plugins:
                yield _nothing(variable, name, "no installed plugin is called that", plugins)
    yield from _preferences({record.distribution for record in records}, registry)
    backend = os.environ.get("MF_BACKEND")
    if backend and not registry.has("backend", backend.lower()):
        yield _nothing("MF_BACKEND", backend, "no loaded plugin has that backend", registry.names("backend"), "error")
    for folder in filter(None, os.environ.get("MF_MODELS", "").split(os.pathsep)):
        if not Path(folder).expanduser().is_dir():
            hint = f"mkdir {folder}, or correct MF_MODELS"
            yield Finding("warning", "settings", f"MF_MODELS names {shown(folder)}, which is no folder", hint,
                          "setting-no-match")  # fmt: skip


def _preferences(distributions: set[str], registry: Registry) -> Iterator[Finding]:
    names = {entry.name for kind in registry.kinds() for entry in registry.entries(kind)}
    for item in _list("MF_PREFER"):
        owner, colon, name = item.partition(":")
        if normalize(owner) not in distributions:
            yield _nothing("MF_PREFER", owner, "no distribution with plugins is called that", distributions)
        elif colon and name not in names:
            yield _nothing("MF_PREFER", name, "no plugin provides that", names)


def _list(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def _nothing(variable: str, name: str, what: str, known: set[str] | list[str], level: str = "warning") -> Finding:
    hint = did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}"
    message = f"{variable} names {shown(name)}, but {what}"
    return Finding("error" if level == "error" else "warning", "settings", message, printable(hint), "setting-no-match")
