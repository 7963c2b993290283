"""What the project publishes: its plugins' families, presets and backends, for names that are not installed.

The list follows from ``plugins/*/pyproject.toml`` and from what each plugin's entry module returns; nothing else names
the plugins. ``hatch_build.py`` writes it into the core's distributions as ``published.json``; in a checkout it is read
from the plugins' sources.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from ..specs import BackendSpec, ConfigSpec, TaskSpec

#: Where the list is in an installed core.
FILE = Path(__file__).with_name("published.json")
_GROUP = "mf_core.v1"
_HOOKS = ("mf_configs", "mf_models", "mf_tokenizers", "mf_processors", "mf_tasks", "mf_backends")


@dataclass(frozen=True)
class PublishedPreset:
    """A preset of a published plugin; its fields are those of :class:`mf_core.specs.Preset`."""

    name: str
    family: str
    aliases: tuple[str, ...] = ()
    parameters: int = 0
    description: str = ""
    license: str = ""
    weights: str | None = None


@dataclass(frozen=True)
class Published:
    """A plugin that the project publishes.

    Attributes:
        distribution: What ``pip install`` calls it.
        description: One line.
        families: Its ``model_type`` names.
        backends: Names of its backends.
        classes: Names of the classes that it offers.
        presets: Its named checkpoints.
    """

    distribution: str
    description: str
    families: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    presets: tuple[PublishedPreset, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All names of things that it has, as :func:`published_by` compares them."""
        presets = (name for preset in self.presets for name in (preset.name, *preset.aliases))
        return frozenset(map(_key, (*self.families, *self.backends, *self.classes, *presets)))


def published_by(name: str) -> str | None:
    """Return the project's distribution that has a family, preset, class or backend of that very name.

    Case, ``-`` and ``_`` do not count. A name that only begins like one, such as ``"gpt2_foo"``, is not found.
    """
    key = _key(name.rpartition(":")[2])
    return next((dist for dist, plugin in published().items() if key in plugin.names), None)


@functools.cache
def published() -> Mapping[str, Published]:
    """Return the project's plugins by the names of their distributions."""
    if FILE.is_file():
        data = json.loads(FILE.read_text(encoding="utf-8"))
        return MappingProxyType({name: _from_dict(item) for name, item in data.items()})
    folder = Path(__file__).parents[2] / "plugins"
    return MappingProxyType(declared(folder) if any(folder.glob("*/pyproject.toml")) else {})


def declared(folder: Path) -> dict[str, Published]:
    """Return what the sources of plugins in a folder declare, sorted by name; each entry module is executed."""
    plugins = [_of_source(path) for path in folder.glob("*/pyproject.toml")]
    return {plugin.distribution: plugin for plugin in sorted(plugins, key=lambda plugin: plugin.distribution)}


def as_json(plugins: Mapping[str, Published]) -> str:
    """Return the contents of ``published.json``."""
    return json.dumps({name: asdict(plugin) for name, plugin in plugins.items()}, indent=1, ensure_ascii=False) + "\n"


def _from_dict(data: dict[str, Any]) -> Published:
    presets = tuple(PublishedPreset(**{**item, "aliases": tuple(item["aliases"])}) for item in data["presets"])
    lists = {key: tuple(data[key]) for key in ("families", "backends", "classes")}
    return Published(data["distribution"], data["description"], presets=presets, **lists)


def _of_source(pyproject: Path) -> Published:
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = toml.loads(pyproject.read_text(encoding="utf-8"))["project"]
    modules = project.get("entry-points", {}).get(_GROUP, {}).values()
    specs = [spec for module in modules for spec in _specs(pyproject.parent / "src", module)]
    configs = [spec for spec in specs if isinstance(spec, ConfigSpec)]
    targets = [spec.pipeline if isinstance(spec, TaskSpec) else spec.target for spec in specs]
    return Published(
        project["name"],
        project.get("description", ""),
        tuple(spec.model_type for spec in configs),
        tuple(spec.name for spec in specs if isinstance(spec, BackendSpec)),
        tuple(dict.fromkeys(target.partition(":")[2] for target in targets)),
        tuple(
            PublishedPreset(
                p.name, spec.model_type, p.aliases, p.parameters, p.description, p.license, p.weights,
            )
            for spec in configs for p in spec.presets
        ),
    )  # fmt: skip


def _specs(source: Path, module: str) -> list[Any]:
    """Return what an entry module's hooks return.

    The module is executed under a private name, so that nothing which is not installed becomes importable. It may
    import modules of its package by relative imports.
    """
    package, _, _ = module.partition(".")
    stand_in = f"_published_{package}"
    folder = ModuleType(stand_in)
    folder.__path__ = [str(source / package)]
    sys.modules[stand_in] = folder
    try:
        found = importlib.import_module(stand_in + module[len(package) :])
        return [spec for hook in _HOOKS if hasattr(found, hook) for spec in getattr(found, hook)()]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == stand_in]:
            del sys.modules[name]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "", name).lower()
