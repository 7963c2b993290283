"""Finding and loading plugins, one guarded step each.

``load_plugins`` looks at every installed distribution's entry points, decides which may load, imports each on its own
and calls its hooks. It never raises for a plugin's fault (unless ``MF_PLUGINS_STRICT=1``): what happened to each plugin
is in the :class:`PluginRecord` it returns.

Environment variables:
    MF_PLUGINS: Comma-separated allow-list of entry-point or distribution names; set but empty means none.
    MF_PLUGINS_BLOCK: Comma-separated names that are never loaded; wins over the allow-list.
    MF_PLUGINS_STRICT: ``1`` turns every plugin problem into an error.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import importlib_metadata
import pluggy

from . import hookspecs
from .errors import MFError, PluginError, PluginWarning, SpecError, describe, did_you_mean
from .specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec

State = Literal["loaded", "failed", "stale", "blocked", "not allowed", "incompatible"]
Spec = ConfigSpec | ModelSpec | TokenizerSpec | ProcessorSpec | TaskSpec | BackendSpec

#: Hook name -> the kind of spec it returns.
HOOKS: dict[str, type[Spec]] = {
    "mf_configs": ConfigSpec,
    "mf_models": ModelSpec,
    "mf_tokenizers": TokenizerSpec,
    "mf_processors": ProcessorSpec,
    "mf_tasks": TaskSpec,
    "mf_backends": BackendSpec,
}

_BUILTIN = "builtin"
_GROUP = re.compile(r"mf_core\.v\d+\Z")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


@dataclass
class PluginRecord:
    """What became of one plugin.

    Attributes:
        name: Entry-point name.
        module: The module that the entry point names.
        distribution: Owner: the distribution's normalized name.
        version: The distribution's version.
        location: Folder that holds the distribution's metadata, or the source tree of an editable install.
        group: Entry-point group; its suffix is the plugin API's major version. ``builtin``: the core's own.
        state: ``loaded``; ``failed`` (import, hook or spec); ``stale`` (an editable install whose source is gone);
            ``blocked`` (MF_PLUGINS_BLOCK); ``not allowed`` (MF_PLUGINS); ``incompatible`` (another API version).
        load_ms: Milliseconds that import and hooks took.
        error: What was raised, if anything.
        traceback: ``error`` in full.
        specs: What the plugin offers; empty unless loaded.
    """

    name: str
    module: str
    distribution: str
    version: str
    location: str
    group: str
    state: State = "loaded"
    load_ms: float = 0.0
    error: BaseException | None = None
    traceback: str = ""
    specs: tuple[Spec, ...] = field(default=(), repr=False)

    @property
    def reason(self) -> str:
        """One line that says why the plugin is not loaded; empty when it is."""
        if self.state == "blocked":
            return "blocked by MF_PLUGINS_BLOCK"
        if self.state == "not allowed":
            return "not on the MF_PLUGINS list"
        return "" if self.error is None else describe(self.error)

    @property
    def hint(self) -> str:
        """What the user can do about a plugin that failed."""
        own = self.error.hint if isinstance(self.error, MFError) else None
        return own or f"`mf plugins --verbose` shows its traceback; MF_PLUGINS_BLOCK={self.name} does without it"

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data, for ``--json``."""
        keys = ("name", "module", "distribution", "version", "location", "group", "state")
        return {
            **{key: getattr(self, key) for key in keys},
            "load_ms": round(self.load_ms, 2),
            "reason": self.reason,
            "traceback": self.traceback,
            "specs": len(self.specs),
        }


def normalize(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it: lower case, runs of ``-_.`` as one ``-``."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def load_plugins(builtins: Iterable[str] = ()) -> list[PluginRecord]:
    """Load every installed plugin that may load, in the order of distribution and entry-point name.

    Args:
        builtins: Modules of the core that are written as plugins; always loaded, first.

    Returns:
        One record a plugin, whatever became of it.

    Raises:
        PluginError: In strict mode, for the first plugin that fails or list entry that matches nothing.
    """
    strict = os.environ.get("MF_PLUGINS_STRICT", "") not in ("", "0")
    manager = pluggy.PluginManager("mf_core")
    manager.add_hookspecs(hookspecs)
    records = [_builtin(module) for module in builtins]
    found = _discover()
    allowed, blocked = _names("MF_PLUGINS"), _names("MF_PLUGINS_BLOCK")
    for variable, names in (("MF_PLUGINS", allowed), ("MF_PLUGINS_BLOCK", blocked)):
        _check_names_match(variable, names or (), found, strict)
    claims: dict[str, set[tuple[str, str]]] = {}
    for record in (*records, *found):
        mine = {record.name, record.distribution}
        if record.group == _BUILTIN:
            _load(record, manager, claims)
        elif blocked is not None and mine & {*blocked, *map(normalize, blocked)}:
            record.state = "blocked"
        elif allowed is not None and not mine & {*allowed, *map(normalize, allowed)}:
            record.state = "not allowed"
        elif record.error is not None:
            record.state = "failed"
        elif record.group != hookspecs.ENTRY_POINT_GROUP:
            _refuse_version(record)
        else:
            _load(record, manager, claims)
        if record.state in ("failed", "stale", "incompatible"):
            _report(record, strict)
    return [*records, *found]


def _builtin(module: str) -> PluginRecord:
    version = next((_identity(dist)[1] for dist in _installed("mf-framework")), "unknown")
    return PluginRecord(module, module, "mf-framework", version, str(Path(__file__).parent), _BUILTIN)


def _names(variable: str) -> list[str] | None:
    value = os.environ.get(variable)
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


def _discover() -> list[PluginRecord]:
    """Return a record for each entry point of a plugin interface, whatever the state of the other distributions."""
    names = set()
    for dist in _installed():
        with suppress(OSError, ValueError):  # not readable or not text: somebody else's trouble
            if "mf_core.v" in (dist.read_text("entry_points.txt") or ""):
                names.add(normalize(_identity(dist)[0]))
    records = []
    for name in names - {""}:
        for dist in _installed(name):
            declared, version = _identity(dist)
            if declared:
                records.extend(_records_of(name, version, dist))
                break  # the first on the path counts, where it is installed twice
    return sorted(records, key=lambda r: (r.distribution, r.name, r.group))


def _installed(name: str | None = None) -> Iterable[Any]:
    """Return the distributions (of that name) along ``sys.path``; what does not exist there would be tried as a zip."""
    path = [entry or "." for entry in sys.path if os.path.exists(entry or ".")]  # "" would be listed every time
    return importlib_metadata.distributions(name=name, path=path)


def _records_of(name: str, version: str, dist: Any) -> list[PluginRecord]:
    """Return a distribution's records. Where it offers this interface, what it offers for others is left out."""
    location = _editable_source(dist) or str(dist.locate_file(""))
    try:
        entry_points = [entry for entry in dist.entry_points if _GROUP.match(entry.group)]
    except Exception as error:
        fault = PluginError(
            f"the entry_points.txt of {name} cannot be read", why=describe(error), hint=f"reinstall {name}"
        )
        return [PluginRecord(name, "", name, version, location, hookspecs.ENTRY_POINT_GROUP, error=fault)]
    ours = [entry for entry in entry_points if entry.group == hookspecs.ENTRY_POINT_GROUP]
    return [
        PluginRecord(entry.name, entry.value.strip(), name, version, location, entry.group)
        for entry in ours or entry_points
    ]


def _identity(dist: Any) -> tuple[str, str]:
    """Return a distribution's name, empty where it has no metadata, and version, without parsing all of it."""
    fields: dict[str, str] = {}
    for line in (dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "").splitlines():
        key, colon, value = line.partition(":")
        if not colon:
            break
        fields.setdefault(key.strip().lower(), value.strip())
    return fields.get("name", ""), fields.get("version", "unknown")


def _editable_source(dist: Any) -> str | None:
    """Return the source folder of an editable install (PEP 610), or None."""
    try:
        text = dist.read_text("direct_url.json") or ""
        if '"editable"' not in text:
            return None
        import json

        data = json.loads(text)
        if data.get("dir_info", {}).get("editable") and data["url"].startswith("file://"):
            return unquote(urlsplit(data["url"]).path)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return None


def _check_names_match(variable: str, names: Sequence[str], found: Sequence[PluginRecord], strict: bool) -> None:
    known = {r.name for r in found} | {r.distribution for r in found}
    for name in names:
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
    ours = hookspecs.ENTRY_POINT_GROUP
    theirs = record.group
    record.state = "incompatible"
    record.error = PluginError(
        f"{record.distribution} {record.version} is written for the plugin interface {theirs}; this core has {ours}",
        value=theirs,
        hint=f"install a release of {record.distribution} for {ours}, or a release of mf-framework that has {theirs}",
    )


def _load(record: PluginRecord, manager: pluggy.PluginManager, claims: dict[str, set[tuple[str, str]]]) -> None:
    """Import a plugin and call its hooks. ``claims``: what each distribution has claimed so far; grows."""
    start = time.perf_counter()
    try:
        if not _MODULE.match(record.module):
            raise PluginError(
                f"the entry point {record.name!r} names {record.module!r}, which is not a module", value=record.module,
                hint=f"this is a fault of {record.distribution}: an entry point is written 'package.module'",
            )  # fmt: skip
        module = importlib.import_module(record.module)
        specs = _collect(module, manager, f"{record.distribution}:{record.name}")
        claims[record.distribution] = _claim(specs, claims.get(record.distribution, set()))
        record.specs = tuple(specs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way: sys.exit() at import, a panic of an extension module
        import traceback

        record.state, record.error = "failed", error
        record.traceback = "".join(traceback.format_exception(error))
        missing = isinstance(error, ModuleNotFoundError) and error.name == record.module.partition(".")[0]
        if missing and not Path(record.location).exists():
            record.state = "stale"
            record.error = PluginError(
                f"{record.distribution} is an editable install of {record.location}, which is gone",
                value=record.location,
                hint=f"install it again from where its source is now, or: pip uninstall {record.distribution}",
            )
    record.load_ms = (time.perf_counter() - start) * 1e3


def _collect(module: Any, manager: pluggy.PluginManager, name: str) -> list[Spec]:
    """Call the module's hooks and return their specs; raise whatever is wrong with them."""
    try:
        manager.register(module, name)
        manager.check_pending()
        specs: list[Spec] = []
        for caller in manager.get_hookcallers(module) or ():
            for impl in caller.get_hookimpls() if caller.name in HOOKS else ():  # others are marked as optional
                specs.extend(_check_result(caller.name, impl.function()))
        return specs
    finally:  # what one plugin registered, all or half of it, must not be in the way of the next
        if manager.is_registered(module):
            manager.unregister(module)


def _check_result(hook: str, result: Any) -> Sequence[Spec]:
    wanted = HOOKS[hook]
    if not isinstance(result, (list, tuple)):
        raise SpecError(f"{hook}() returned {type(result).__name__}, not a list of {wanted.__name__}", value=result)
    for item in result:
        if not isinstance(item, wanted):
            raise SpecError(f"{hook}() returned {item!r} in its list, not a {wanted.__name__}", value=item)
    return result


def names_of(spec: Spec) -> list[tuple[str, str]]:
    """Return the ``(kind, name)`` pairs that a spec claims."""
    if isinstance(spec, TaskSpec):
        return [("task", name) for name in (spec.name, *spec.aliases)]
    if isinstance(spec, BackendSpec):
        return [("backend", spec.name)]
    if isinstance(spec, ModelSpec):
        return [(f"model:{head}", spec.model_type) for head in spec.heads]
    if isinstance(spec, ConfigSpec):
        presets = [("preset", name) for preset in spec.presets for name in (preset.name, *preset.aliases)]
        return [("config", spec.model_type), *presets]
    return [("tokenizer" if isinstance(spec, TokenizerSpec) else "processor", spec.model_type)]


def _claim(specs: Iterable[Spec], claimed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return ``claimed`` with what the specs claim; raise SpecError where a distribution claims something twice."""
    seen = set(claimed)
    for kind, name in (claim for spec in specs for claim in names_of(spec)):
        if (kind, name) in seen:
            raise SpecError(f"the distribution claims the {kind} {name!r} twice", value=name)
        seen.add((kind, name))
    return seen


def _report(record: PluginRecord, strict: bool) -> None:
    message = f"the plugin {record.name!r} of {record.distribution} {record.version} is left out: {record.reason}"
    error = PluginError(message, value=record.name, hint=record.hint)
    if strict:
        raise error from record.error
    warnings.warn(str(error), PluginWarning, stacklevel=2)
