"""Finding and loading plugins, each guarded.

``load_plugins`` looks at every installed distribution's entry points, decides which may load, imports each on its own
and calls its hooks. It never raises for a plugin's fault (unless ``MF_PLUGINS_STRICT=1``): what happened to each plugin
is in the :class:`PluginRecord` it returns.

Environment variables:
    MF_PLUGINS: Comma-separated allow-list of entry-point or distribution names, each alone or with its version
        (``mf-gpt2==0.1.0``): nothing else loads; set but empty means none.
    MF_PLUGINS_BLOCK: Comma-separated names that are never loaded; wins over the allow-list.
    MF_PLUGINS_STRICT: ``1`` turns every plugin problem into an error.

:mod:`mf_core.plugins.discovery` finds them; :mod:`mf_core.plugins.loading` loads each.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from .. import hookspecs
from ..errors import PluginError, PluginWarning, did_you_mean, printable
from .discovery import PluginRecord, Spec, State, discover, editable_source, identity, installed, normalize
from .loading import HOOKS, Loader, is_loading, names_of

__all__ = [
    "HOOKS", "PluginRecord", "Spec", "State", "editable_source", "is_loading", "load_plugins", "names_of", "normalize",
    "selected",
]  # fmt: skip

_BUILTIN = "builtin"


def load_plugins(builtins: Iterable[str] = ()) -> list[PluginRecord]:
    """Load every installed plugin that may load, in the order of distribution and entry-point name.

    Args:
        builtins: Modules of the core that are written as plugins; always loaded, first.

    Returns:
        One record for each plugin, loaded or not.

    Raises:
        PluginError: In strict mode, for the first plugin that fails or list entry that matches nothing.
    """
    strict = os.environ.get("MF_PLUGINS_STRICT", "") not in ("", "0")
    records = selected(builtins)
    found = [record for record in records if record.group != _BUILTIN]
    for variable in ("MF_PLUGINS", "MF_PLUGINS_BLOCK"):
        _check_names_match(variable, _names(variable) or (), found, strict)
    loader = Loader()
    try:
        for record in records:
            if record.state == "loaded":
                loader.load(record)
            _report(record, strict)
    finally:
        loader.close()
    return records


def selected(builtins: Iterable[str] = ()) -> list[PluginRecord]:
    """Return the records of all plugins, ``builtins`` first, with the state of those that are not to be loaded.

    The state of the others is ``loaded``: their outcome is not known yet.
    """
    records = [*map(_builtin, builtins), *discover()]
    allowed, blocked = _names("MF_PLUGINS"), _names("MF_PLUGINS_BLOCK")
    for record in records:
        mine = {record.name, record.distribution}
        if record.group == _BUILTIN:
            continue
        if blocked is not None and mine & {*blocked, *map(normalize, blocked)}:
            record.state = "blocked"
        elif allowed is not None and not _allows(allowed, record):
            record.state = "not allowed"
        elif record.error is not None:
            record.state = "failed"
        elif record.group != hookspecs.ENTRY_POINT_GROUP:
            _refuse_version(record)
    return records


def _allows(allowed: Sequence[str], record: PluginRecord) -> bool:
    """Return whether the list MF_PLUGINS names a plugin, at its version if it gives one."""
    for item in allowed:
        name, equals, version = (part.strip() for part in item.partition("=="))
        if name in (record.name, record.distribution) or normalize(name) in (record.name, record.distribution):
            if not equals or version == record.version:
                return True
            record.pin = f"MF_PLUGINS allows version {printable(version, 50)} alone"
    return False


def _builtin(module: str) -> PluginRecord:
    version = next((identity(dist)[1] for dist in installed("mf-framework")), "unknown")
    return PluginRecord(module, module, "mf-framework", version, str(Path(__file__).parents[1]), _BUILTIN)


def _names(variable: str) -> list[str] | None:
    value = os.environ.get(variable)
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


def _check_names_match(variable: str, names: Sequence[str], found: Sequence[PluginRecord], strict: bool) -> None:
    known = {r.name for r in found} | {r.distribution for r in found}
    for name in (item.partition("==")[0].strip() for item in names):
        if name not in known and normalize(name) not in known:
            error = PluginError(
                f"{variable} names {name!r}, but no installed plugin is called that",
                value=name,
                hint=did_you_mean(name, known) or f"installed: {', '.join(sorted(known)) or 'none'}",
            )
            if strict:
                raise error
            warnings.warn(str(error), PluginWarning, stacklevel=2)


def _refuse_version(record: PluginRecord) -> None:
    ours, theirs = hookspecs.ENTRY_POINT_GROUP, record.group
    wanted = f" ({record.core_wanted} is what it asks for)" if record.core_wanted else ""
    record.state = "incompatible"
    record.error = PluginError(
        f"{record.distribution} {record.version} is written for the plugin interface {theirs}; this core has {ours}",
        value=theirs,
        hint=f"install a release of {record.distribution} for {ours}, or a release of mf-framework that has {theirs}"
        + wanted,
    )


def _report(record: PluginRecord, strict: bool) -> None:
    """Warn of a plugin's fault, or raise it."""
    who = f"the plugin {record.name!r} of {record.distribution} {record.version}"
    meddling = f"{', '.join(record.meddling)} while it was loaded"
    if record.state in ("failed", "stale", "incompatible"):
        also = f"it also {meddling}" if record.meddling else None
        error = PluginError(f"{who} is left out: {record.reason}", value=record.name, why=also, hint=record.hint)
    elif record.meddling:
        error = PluginError(
            f"{who} {meddling}", value=record.name, why="a plugin's entry module should do nothing but define hooks",
            hint=f"report it to its authors; MF_PLUGINS_BLOCK={record.name} does without it",
        )  # fmt: skip
    else:
        return
    if strict:
        raise error from record.error
    warnings.warn(str(error), PluginWarning, stacklevel=2)
