"""The registry, which resolves names to classes.

The registry loads plugins at the first look-up and keeps, for each kind of thing, who claims which name. Names that two
distributions claim stay usable as ``"distribution:name"``; the bare name is an error until ``MF_PREFER`` settles it.

Environment variables:
    MF_PREFER: Comma-separated ``distribution`` or ``distribution:name`` that win where names clash.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import (
    AlreadyRegisteredError,
    ArgumentTypeError,
    ConflictError,
    MFError,
    NotInstalledError,
    NotRegisteredError,
    PluginError,
    TargetError,
    describe,
    did_you_mean,
    shown,
)
from ..specs import Preset, TaskSpec
from .loading import timeout
from .manager import PluginRecord, Spec, is_loading, load_plugins, names_of, normalize
from .published import published, published_by

#: Modules of the core that are written as plugins.
BUILTINS = ("mf_core.tasks",)
_MOST_LISTED = 40  # names in a message

#: Owner of names that ``register`` added.
RUNTIME = "(registered)"


@dataclass(frozen=True)
class RegistryEntry:
    """One claim to a name.

    Attributes:
        kind: ``config``, ``preset``, ``model:<head>``, ``tokenizer``, ``processor``, ``task``, ``backend``, ``export``.
        name: The name claimed.
        owner: The distribution that claims it.
        target: ``"package.module:Attribute"``, or the class itself for names registered at run time.
        spec: The spec that made the claim, if a plugin did.
        preset: The preset, where ``kind`` is ``preset``.
    """

    kind: str
    name: str
    owner: str
    target: str | type
    spec: Spec | None = None
    preset: Preset | None = None

    @property
    def model_type(self) -> str:
        """The family of a config, preset, model, tokenizer or processor."""
        return str(getattr(self.spec, "model_type", self.name))

    def load(self) -> Any:
        """Import the target and return it; raise TargetError or NotInstalledError, which name the owner.

        A model's or a task's class needs MindSpore: :func:`mf_core.backends.load_class` imports that first, as the
        backend requires.
        """
        return self.target if isinstance(self.target, type) else load_target(self.target, self.owner)


def load_target(target: str, owner: str) -> Any:
    """Import ``"package.module:Attribute"`` for the distribution ``owner``.

    Raises:
        NotInstalledError: The target's module needs a package that is not installed.
        TargetError: The module or attribute does not exist, or its import fails.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        package = missing.partition(".")[0]
        if package == module_name.partition(".")[0]:
            raise TargetError(
                f"{owner} offers {target!r}, but the module {missing!r} does not exist", value=target,
                hint=f"this is a fault of {owner}: reinstall it, or report it to its authors",
            ) from error
        needs = f"{target!r} of {owner} needs {missing!r}, which is not installed"
        if package == "mindspore":
            why, hint = "MindSpore comes with a device backend", "pip install mf-cpu-backend"
        else:
            why, hint = describe(error), f"pip install {owner} brings what it requires; else install {package!r}"
        raise NotInstalledError(needs, value=missing, why=why, hint=hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        remedy = error.hint if isinstance(error, MFError) else None
        raise TargetError(
            f"{target!r} of {owner} cannot be imported", value=target, why=describe(error),
            hint=remedy or f"if its requirements are met, this is a fault of {owner}: report it to its authors",
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise TargetError(
            f"{owner} offers {target!r}, but {module_name} has no {attribute!r}", value=target,
            hint=f"this is a fault of {owner}: reinstall it, or report it to its authors",
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may have its own __getattr__
        raise TargetError(
            f"{target!r} of {owner} cannot be loaded", value=target, why=describe(error),
            hint=f"this is a fault of {owner}: report it to its authors",
        ) from error


class Registry:
    """Names of every kind, and who claims them. Plugins load at the first look-up, once, under a lock.

    Args:
        records: What is loaded already; None: every installed plugin is, at the first look-up.
    """

    def __init__(self, records: Sequence[PluginRecord] | None = None) -> None:
        self._lock = threading.RLock()
        self._records: list[PluginRecord] | None = None
        self._entries: dict[str, dict[str, list[RegistryEntry]]] = defaultdict(lambda: defaultdict(list))
        self._runtime: dict[str, dict[str, RegistryEntry]] = defaultdict(dict)
        if records is not None:
            self._take(records)

    @property
    def records(self) -> list[PluginRecord]:
        """The status of each plugin, the core's first."""
        self._load()
        assert self._records is not None
        return self._records

    def kinds(self) -> list[str]:
        """Return the kinds of which there is a name."""
        self._load()
        return sorted({*filter(self._entries.get, self._entries), *filter(self._runtime.get, self._runtime)})

    def names(self, kind: str) -> list[str]:
        """Return every name of a kind, sorted."""
        self._load()
        return sorted({*self._entries[kind], *self._runtime[kind]})

    def entries(self, kind: str) -> list[RegistryEntry]:
        """Return every claim of a kind, sorted by name and owner."""
        return [entry for name in self.names(kind) for entry in self._claims(kind, name)]

    def has(self, kind: str, name: str) -> bool:
        """Return whether ``find`` would return a claim or raise a conflict."""
        self._load()
        owner, bare = _split(name)
        return bool(self._claims(kind, bare, owner))

    def find(self, kind: str, name: str, owner: str | None = None) -> RegistryEntry:
        """Return the claim to a name.

        Args:
            kind: See :class:`RegistryEntry`.
            name: The name, or ``"distribution:name"``.
            owner: A distribution that is taken where several claim the name.

        Raises:
            ConflictError: Several distributions claim the name and nothing settles it.
            NotRegisteredError, NotInstalledError: No plugin claims it.
        """
        if not isinstance(name, str):
            raise ArgumentTypeError(f"the {_label(kind)} {shown(name, 80)} is not a string", value=name)
        self._load()
        asked_owner, bare = _split(name)
        claims = self._claims(kind, bare, asked_owner)
        if not claims:
            raise self._unknown(kind, name)
        if len(claims) == 1:
            return claims[0]
        for wanted in ([owner] if owner else []) + _preferred(bare):
            for entry in claims:
                if entry.owner == wanted:
                    return entry
        owners = [entry.owner for entry in claims]
        if kind == "export":
            first = f"import {bare} from {str(claims[0].target).partition(':')[0]}"
        else:
            first = f"write {owners[0] + ':' + bare!r}"
        raise ConflictError(
            f"the {_label(kind)} {bare!r} is claimed by {' and '.join(owners)}", value=bare,
            hint=f"{first}, set MF_PREFER={owners[0]}, or uninstall one of them",
        )

    def add(self, kind: str, name: str, target: type, *, exist_ok: bool = False) -> None:
        """Register a class at run time under ``name``, ahead of what plugins offer.

        Raises:
            AlreadyRegisteredError: The name is taken and ``exist_ok`` is false.
        """
        self._load()
        claims = self._claims(kind, name)
        if claims and not exist_ok:
            raise AlreadyRegisteredError(
                f"the {_label(kind)} {name!r} is already provided by {claims[0].owner}", value=name,
                hint="choose another name, or pass exist_ok=True to put yours in its place",
            )
        self._runtime[kind][name] = RegistryEntry(kind, name, RUNTIME, target)
        if kind != "task":
            self._runtime["export"][target.__name__] = RegistryEntry("export", target.__name__, RUNTIME, target)

    def _claims(self, kind: str, name: str, owner: str | None = None) -> list[RegistryEntry]:
        """Return the claims to a name: the user's own alone where there is one, or the named owner's."""
        runtime, claims = self._runtime[kind].get(name), self._entries[kind].get(name, [])
        if owner is not None:
            return [entry for entry in (*filter(None, [runtime]), *claims) if entry.owner == owner]
        return [runtime] if runtime else claims

    def _load(self) -> None:
        if self._records is not None:
            return
        if is_loading():
            raise PluginError(
                "a plugin looked a name up while plugins were being loaded",
                hint="a plugin's entry module may import mf_core.hookspecs and mf_core.specs only",
            )
        patience = 3 * timeout() or -1
        if not self._lock.acquire(timeout=patience):  # a plugin's own thread, which it waits for, waits for it here
            raise PluginError(
                f"another thread has been loading plugins for {patience:g} s", value=patience,
                hint="`mf doctor` names plugins that do not come to an end",
            )
        try:
            if self._records is None:
                self._take(load_plugins(BUILTINS))
        finally:
            self._lock.release()

    def _take(self, records: Sequence[PluginRecord]) -> None:
        for record in records:
            for spec in record.specs:
                self._enter(spec, record.distribution)
        self._records = list(records)

    def _enter(self, spec: Spec, owner: str) -> None:
        target = spec.pipeline if isinstance(spec, TaskSpec) else spec.target
        presets = {name: p for p in getattr(spec, "presets", ()) for name in (p.name, *p.aliases)}
        for kind, name in names_of(spec):
            preset = presets.get(name) if kind == "preset" else None
            self._entries[kind][name].append(RegistryEntry(kind, name, owner, target, spec, preset))
        export = target.partition(":")[2]
        if all(entry.owner != owner for entry in self._entries["export"][export]):
            self._entries["export"][export].append(RegistryEntry("export", export, owner, target, spec))

    def _unknown(self, kind: str, name: str) -> NotRegisteredError | NotInstalledError | PluginError:
        label = _label(kind)
        owner, bare = _split(name)
        wanted = owner or published_by(bare)
        loaded = list(dict.fromkeys(record.distribution for record in self.records if record.state == "loaded"))
        left_out = [record for record in self.records if record.state != "loaded"]
        failed = next((record for record in left_out if record.distribution == wanted), None)
        if failed is not None:
            return PluginError(
                f"the {label} {name!r} belongs to {wanted}, which is installed but not loaded", value=name,
                why=failed.reason, hint=failed.hint if failed.error else "`mf plugins` shows each plugin's state",
            )
        if wanted in published() and wanted not in loaded:
            return NotInstalledError(
                f"the {label} {name!r} is not installed", value=name,
                why=f"it comes with the package {wanted}", hint=f"pip install {wanted}",
            )
        heads = self._heads(bare, owner) if kind.startswith("model:") else {}
        if heads:
            family = next(iter(heads.values()))
            return NotRegisteredError(
                f"the family {bare!r} of {family.owner} has no model with the head {kind.partition(':')[2]!r}",
                value=name, why=f"the heads of its models are: {', '.join(heads)}",
                hint="AutoModel loads its main model" if "base" in heads else None,
            )
        if owner is not None and owner not in loaded:
            return NotRegisteredError(
                f"no plugin called {owner!r} is installed, whose {label} {bare!r} was asked for", value=name,
                why=did_you_mean(owner, loaded), hint=f"installed: {', '.join(loaded)}",
            )
        known = sorted({entry.name for entry in self.entries(kind) if owner in (None, entry.owner)})
        absent = ", ".join(dict.fromkeys(record.distribution for record in left_out))
        return NotRegisteredError(
            f"{owner or 'no installed plugin'} {'does not provide' if owner else 'provides'} the {label} {bare!r}",
            value=name, why=did_you_mean(bare, known) or (f"not loaded: {absent}" if absent else None),
            hint=_installed(known),
        )

    def _heads(self, family: str, owner: str | None) -> dict[str, RegistryEntry]:
        """Return the heads of a family's models, with a claim to each."""
        kinds = [kind for kind in self.kinds() if kind.startswith("model:")]
        claims = {kind.partition(":")[2]: self._claims(kind, family, owner) for kind in kinds}
        return {head: found[0] for head, found in claims.items() if found}


def _installed(known: list[str]) -> str:
    if not known:
        return "`mf models --installable` lists the project's"
    return f"installed: {', '.join(known)}" if len(known) <= _MOST_LISTED else f"`mf models` lists all {len(known)}"


def _label(kind: str) -> str:
    return "class" if kind == "export" else kind.partition(":")[0]


def _split(name: str) -> tuple[str | None, str]:
    owner, colon, bare = name.rpartition(":")
    return (normalize(owner), bare) if colon else (None, name)


def _preferred(name: str) -> list[str]:
    wanted = []
    for item in os.environ.get("MF_PREFER", "").split(","):
        owner, _, only = item.strip().partition(":")
        if owner and only in ("", name):
            wanted.append(normalize(owner))
    return wanted


#: The process's registry.
registry = Registry()
