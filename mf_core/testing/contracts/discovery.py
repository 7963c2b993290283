"""Contracts for a distribution whose author has written none: made of what its specs say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import MFError
from ...plugins.manager import normalize
from ...plugins.registry import load_target
from ...specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec
from ..model_checks.model import ModelContract
from .backend import BackendContract
from .config import ConfigContract
from .default_subjects import presets_here
from .plugin import PluginContract, records_of
from .processor import ProcessorContract
from .task import TaskContract
from .tokenizer import TokenizerContract

#: Fields of sizes -> what a small model has; those that a config class has not are left out.
_SMALL: Mapping[str, int] = {
    "vocab_size": 96, "seq_length": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 64, "ffn_hidden_size": 64, "head_dim": 8,
}  # fmt: skip


class _Later:
    """An attribute of checks that is made at its first use, by importing the plugin's targets, which may do anything.

    Of the class itself it is not to be had: pytest looks at all of a class's attributes before it runs a check.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: list[Any] = []

    def __get__(self, instance: object | None, owner: type) -> Any:
        """Return it."""
        return self if instance is None else self.get()

    def get(self) -> Any:
        """Return what was made, making it if need be."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]


def contracts_of(distribution: str) -> dict[str, type[PluginContract]]:
    """Return test classes for all that a distribution offers, by name; for a module's globals.

    What the specs do not say is chosen: a model's config is made small where its class has the usual fields
    (``hidden_size``, ``num_layers``, …), presets are those whose files are here offline, and texts are made of the
    vocabulary's own tokens. A contract's ``subject()`` says what was chosen.

    Args:
        distribution: Its name, ``"mf-gpt2"``.

    Raises:
        NotRegisteredError: No plugin of it is installed.
    """
    owner = normalize(distribution)
    specs = [spec for record in records_of(distribution) for spec in record.specs]
    made: dict[str, type[PluginContract]] = {}

    def add(base: type[PluginContract], what: str, **settings: Any) -> None:
        name = "Test" + "".join(part.title() for part in re.split(r"\W+|_", what))
        name += str(len(made)) if name in made else ""
        common = [] if base is PluginContract else [key for key in dir(PluginContract) if key.startswith("test_")]
        # A plugin's own checks are made once, by the first class, and not again by each of the others.
        own = {**dict.fromkeys(common), "distribution": distribution, **settings}
        made[name] = type(name, (base,), {**own, "__module__": __name__, "__doc__": base.__doc__})

    def small(spec: Any) -> _Later:
        return _Later(lambda: small_config(specs, spec.model_type, owner))

    add(PluginContract, "plugin")
    families = {spec.model_type for spec in specs if isinstance(spec, ModelSpec)}
    for spec in specs:
        if isinstance(spec, ModelSpec):
            head = "causal_lm" if "causal_lm" in spec.heads else spec.heads[0]
            what = f"{spec.model_type} {head} model"
            add(ModelContract, what, model_type=spec.model_type, config=small(spec), head=head)
        elif isinstance(spec, ConfigSpec) and spec.model_type not in families:
            add(ConfigContract, f"{spec.model_type} config", model_type=spec.model_type, config=small(spec))
        elif isinstance(spec, TokenizerSpec):
            add(TokenizerContract, f"{spec.model_type} tokenizer", model_type=spec.model_type)
        elif isinstance(spec, ProcessorSpec):
            add(ProcessorContract, f"{spec.model_type} processor", model_type=spec.model_type)
        elif isinstance(spec, TaskSpec):
            add(TaskContract, f"{spec.name} task", task=spec.name, **_task_settings(spec, owner))
        elif isinstance(spec, BackendSpec):
            add(BackendContract, f"{spec.name} backend", backend=spec.name)
    return made


def small_config(specs: list[Any], model_type: str, owner: str) -> dict[str, Any]:
    """Return keyword arguments that make a family's config small; none where it cannot be made small so."""
    spec = next((s for s in specs if isinstance(s, ConfigSpec) and s.model_type == model_type), None)
    if spec is None:
        return {}
    try:
        cls = load_target(spec.target, owner)
        fields = {name: value for name, value in _SMALL.items() if cls.field_of(name) == name}
        ids = {name: 0 for name, info in cls.model_fields.items()
               if name.endswith("_token_id") and isinstance(info.default, int) and "vocab_size" in fields}  # fmt: skip
        for settings in ({**fields, **ids}, {k: v for k, v in fields.items() if k != "head_dim"}, fields):
            try:
                cls(**settings)
            except MFError:
                continue
            return settings
    except Exception:  # what is wrong with the class, the checks will tell
        return {}
    return {}


def _task_settings(spec: TaskSpec, owner: str) -> dict[str, Any]:
    """Return the model and inputs by which a task can be tried offline, as far as there are any."""
    found = _Later(lambda: _task_model(spec, owner))
    return {"model": _Later(lambda: found.get()[0]), "inputs": _Later(lambda: found.get()[1])}


def _task_model(spec: TaskSpec, owner: str) -> tuple[str | None, list[str]]:
    from ...auto import AutoTokenizer
    from ...plugins.registry import registry
    from .default_subjects import sample_texts

    try:
        default = load_target(spec.pipeline, owner).default_model
        names = [default] if default else []
        for entry in registry.entries("config"):
            names += presets_here(entry.owner, entry.name, "weights")
        for name in names:
            entry = registry.find("preset", name)
            if f"{entry.owner}:{entry.name}" in presets_here(entry.owner, entry.model_type, "weights"):
                return f"{entry.owner}:{entry.name}", sample_texts(AutoTokenizer.from_pretrained(name))[:3]
    except Exception:  # what is wrong with the task, the checks will tell
        return None, []
    return None, []
