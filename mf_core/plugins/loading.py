"""Loading one plugin: its module is imported and its hooks are called, guarded and within a limit of time.

Environment variables:
    MF_PLUGINS_TIMEOUT: Seconds that a plugin may take, default 20; 0: as long as it likes.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy

from .. import hookspecs
from ..boundary import LIBRARY_PACKAGES
from ..errors import PluginError, SpecError, describe, shown
from ..specs import BackendSpec, ConfigSpec, ModelSpec, Preset, ProcessorSpec, TaskSpec, TokenizerSpec, exact
from .discovery import PluginRecord, Spec
from .isolation import InterpreterState, raised_by_statement
from .time_limit import TimeLimit

#: Hook name -> the kind of spec it returns.
HOOKS: dict[str, type[Spec]] = {
    "mf_configs": ConfigSpec,
    "mf_models": ModelSpec,
    "mf_tokenizers": TokenizerSpec,
    "mf_processors": ProcessorSpec,
    "mf_tasks": TaskSpec,
    "mf_backends": BackendSpec,
}

#: Most specs that a hook may return, and names that a distribution may claim: listings are for people.
MAX_SPECS, MAX_NAMES = 1000, 10_000

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_here = threading.local()


def is_loading() -> bool:
    """Return whether the caller is a plugin that is being loaded, in the thread that loads it."""
    return bool(getattr(_here, "loading", False))


class Loader:
    """Loads plugins, one after the other; to be closed after the last."""

    def __init__(self) -> None:
        self._claims: dict[str, set[tuple[str, str]]] = {}  # what each distribution has claimed so far
        self._manager: pluggy.PluginManager | None = None
        self._interpreter_state = InterpreterState()
        self._limit = TimeLimit(timeout())

    def close(self) -> None:
        """Give back what loading needed."""
        self._limit.close()
        self._interpreter_state.close()

    def _import(self, record: PluginRecord) -> list[Spec]:
        manager, self._manager = self._manager or _make_manager(), None
        specs = _import(record, manager)
        self._manager = manager  # where it fails, the next has another: a partial registration has no effect
        return specs

    def load(self, record: PluginRecord) -> None:
        """Load a plugin and record the outcome. Raises nothing but the user's own Ctrl-C."""
        start = time.perf_counter()
        failed: BaseException | None = None
        with self._interpreter_state.kept() as notes:
            _here.loading = True
            try:
                with self._limit.watched(f"loading the plugin {record.name!r} of {record.distribution}"):
                    specs = self._import(record)
                self._claims[record.distribution] = _claim(specs, self._claims.get(record.distribution, set()))
                record.specs = tuple(specs)
            except KeyboardInterrupt as error:
                if not raised_by_statement(error):
                    raise
                failed = error
            except BaseException as error:  # in any way: sys.exit() at import, a panic of an extension module
                failed = error
            finally:
                _here.loading = False
        record.load_ms = (time.perf_counter() - start) * 1e3
        if failed is not None:
            try:
                _record_failure(record, failed)
            except BaseException as fault:  # an exception of the plugin's own class, which fights being looked at
                record.state = "failed"
                record.error = PluginError(
                    f"it raised {type(failed).__name__}, which cannot be shown", why=type(fault).__name__
                )
        record.meddling = tuple(notes)


def _make_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("mf_core")
    manager.add_hookspecs(hookspecs)
    return manager


def timeout() -> float:
    """Return the time limit of a plugin in seconds; 0: none."""
    try:
        return min(max(0.0, float(os.environ.get("MF_PLUGINS_TIMEOUT") or 20)), 86_400)  # "inf" is a number, too
    except ValueError:
        value = os.environ["MF_PLUGINS_TIMEOUT"]
        raise PluginError(
            f"MF_PLUGINS_TIMEOUT={value!r} is not a number of seconds", value=value, hint="MF_PLUGINS_TIMEOUT=20"
        ) from None


def _import(record: PluginRecord, manager: pluggy.PluginManager) -> list[Spec]:
    """Import a plugin's module and return what its hooks offer; raise whatever is wrong with them."""
    if not _MODULE.match(record.module):
        raise PluginError(
            f"the entry point {record.name!r} names {record.module!r}, which is not a module", value=record.module,
            hint=f"this is a fault of {record.distribution}: an entry point is written 'package.module'",
        )  # fmt: skip
    LIBRARY_PACKAGES.add(record.module.partition(".")[0])
    module = importlib.import_module(record.module)
    name = f"{record.distribution}:{record.name}"
    manager.register(module, name)
    manager.check_pending()
    called = {caller.name for caller in manager.get_hookcallers(module) or ()}
    for hook in sorted(set(HOOKS) & set(dir(module)) - called):
        raise PluginError(
            f"{hook} is not a function marked with @hookimpl, and would not be called", value=hook,
            hint=f"write `from mf_core.hookspecs import hookimpl`, and @hookimpl above `def {hook}():`",
        )  # fmt: skip
    specs: list[Spec] = []
    for caller in manager.get_hookcallers(module) or ():
        for impl in caller.get_hookimpls() if caller.name in HOOKS else ():  # others are marked as optional
            result = impl.function()
            try:
                specs.extend(_check_result(caller.name, result))
            except SpecError:
                from .traceback_origin import line_of

                record.where = line_of(impl.function)
                raise
    manager.unregister(name=name)
    return specs


def _record_failure(record: PluginRecord, error: BaseException) -> None:
    import traceback

    from .traceback_origin import plugin_line

    record.state, record.specs = "failed", ()
    record.where = record.where or plugin_line(error, record.module)
    record.traceback = "".join(traceback.format_exception(error))
    describe(error)  # its text can be made
    record.error = error
    missing = isinstance(error, ModuleNotFoundError) and error.name == record.module.partition(".")[0]
    if missing and not Path(record.location).exists():
        record.state = "stale"
        record.error = PluginError(
            f"{record.distribution} is an editable install of {record.location}, which is gone",
            value=record.location,
            hint=f"install it again from where its source is now, or: pip uninstall {record.distribution}",
        )


def _check_result(hook: str, result: Any) -> list[Spec]:
    """Return a hook's specs, as they are declared in :mod:`mf_core.specs` and checked again."""
    wanted = HOOKS[hook]
    if not isinstance(result, (list, tuple)):
        raise SpecError(f"{hook}() returned {type(result).__name__}, not a list of {wanted.__name__}", value=result)
    items = list(list.__iter__(result) if isinstance(result, list) else tuple.__iter__(result))
    if len(items) > MAX_SPECS:
        raise SpecError(f"{hook}() returned {len(items)} specs; {MAX_SPECS} is the most", value=len(items))
    for item in items:
        if not isinstance(item, wanted):
            raise SpecError(f"{hook}() returned {shown(item)} in its list, not a {wanted.__name__}", value=item)
    return [_plain(exact(wanted, item)) for item in items]


def _plain(spec: Spec) -> Spec:
    """Return a checked spec with its presets checked as well."""
    if not isinstance(spec, ConfigSpec):
        return spec
    return replace(spec, presets=tuple(exact(Preset, preset) for preset in spec.presets))


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
        if len(seen) > MAX_NAMES:
            raise SpecError(f"the distribution claims more than {MAX_NAMES} names", value=len(seen))
    return seen
