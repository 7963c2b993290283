"""Contracts for a distribution whose author has written none, made from its specs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import MFError
from ...plugins.manager import normalize
from ...plugins.registry import load_target, registry
from ...specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec
from ..model_checks.model import ModelContract
from .backend import BackendContract
from .config import ConfigContract
from .default_subjects import local_presets
from .plugin import PluginContract, records_of
from .processor import ProcessorContract
from .task import TaskContract
from .tokenizer import TokenizerContract

#: Fields of sizes -> what a small model has; those that a config class has not are left out.
_SMALL: Mapping[str, int] = {
    "vocab_size": 96, "seq_length": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 64, "ffn_hidden_size": 64, "image_size": 32, "patch_size": 8,
    "head_dim": 16,  # another width than hidden_size / num_heads
}  # fmt: skip


class _Later:
    """An attribute of checks that is computed at its first use, which imports the plugin's targets.

    On the class itself it is not computed: pytest reads all of a class's attributes before it runs a check.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: list[Any] = []

    def __get__(self, instance: object | None, owner: type) -> Any:
        """Return the value; of the class, this descriptor."""
        return self if instance is None else self.get()

    def get(self) -> Any:
        """Return the value, computing it once."""
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
            add(TaskContract, f"{spec.name} task", task=spec.name, **_task_settings(spec, specs, owner))
        elif isinstance(spec, BackendSpec):
            add(BackendContract, f"{spec.name} backend", backend=spec.name)
    return made


def small_config(specs: list[Any], model_type: str, owner: str) -> dict[str, Any]:
    """Return keyword arguments that make a family's config small; none where it cannot be made small so."""
    spec = next((s for s in specs if isinstance(s, ConfigSpec) and s.model_type == model_type), None)
    if spec is None:
        return {}
    try:
        return _small_fields(load_target(spec.target, owner))
    except Exception:  # what is wrong with the class, the checks will tell
        return {}


def _small_fields(cls: Any) -> dict[str, Any]:
    """Return the fields that make a config class small; those of the configs that it is made of are nested."""
    from ...config import PretrainedConfig

    parts = {name: info.annotation for name, info in cls.model_fields.items()
             if isinstance(info.annotation, type) and issubclass(info.annotation, PretrainedConfig)}  # fmt: skip
    if parts:
        return {name: _small_fields(part) for name, part in parts.items()}
    sizes = {f"{tower}{name}": value for tower in ("", "decoder_") for name, value in _SMALL.items()}
    fields = {name: value for name, value in sizes.items() if cls.field_of(name) == name}
    ids = {name: 0 for name, info in cls.model_fields.items()
           if name.endswith("_token_id") and isinstance(info.default, int) and "vocab_size" in fields}  # fmt: skip
    for settings in ({**fields, **ids}, {k: v for k, v in fields.items() if k != "head_dim"}, fields):
        try:
            cls(**settings)
        except MFError:
            continue
        return settings
    return {}


def _task_settings(spec: TaskSpec, specs: list[Any], owner: str) -> dict[str, Any]:
    """Return the model and the inputs that a task is tried with, as far as they can be chosen offline."""
    found = _Later(lambda: _task_model(spec, specs, owner))
    return {
        "model": _Later(lambda: found.get()[0]), "inputs": _Later(lambda: found.get()[1]), "inputs_are_chosen": True,
    }  # fmt: skip


def _task_model(spec: TaskSpec, specs: list[Any], owner: str) -> tuple[str | None, list[str]]:
    """Return a model for a task, and texts: of the distribution's own families first.

    Those are presets with weights, or small models made of a family's configuration and tokenizer. Then come the
    pipeline's default model and presets of other families.
    """
    from ...auto import AutoTokenizer
    from .default_subjects import sample_texts

    try:
        pipeline = load_target(spec.pipeline, owner)
        families = [s.model_type for s in specs if isinstance(s, ModelSpec) and pipeline.head in s.heads]
        names = [name for family in families for name in local_presets(owner, family, "weights")]
        name = next((name for name in names if name.startswith(f"{owner}:")), None)
        small = (_small_model(specs, family, pipeline.head, owner) for family in families)
        name = name or next(filter(None, small), None)
        name = name or next(iter([*names, *_models_of_others(pipeline)]), None)
        return (None, []) if name is None else (name, sample_texts(AutoTokenizer.from_pretrained(name))[:3])
    except Exception:  # what is wrong with the task, the checks report
        return None, []


def _models_of_others(pipeline: Any) -> list[str]:
    """Return presets with weights whose families have the head that a pipeline needs, its default model first."""
    found = []
    default = pipeline.default_model
    if default:
        entry = registry.find("preset", default)
        if f"{entry.owner}:{entry.name}" in local_presets(entry.owner, entry.model_type, "weights"):
            found.append(f"{entry.owner}:{entry.name}")
    for entry in registry.entries("config"):
        models = [e for e in registry.entries(f"model:{pipeline.head}") if e.name == entry.name]
        found += local_presets(entry.owner, entry.name, "weights") if models else []
    return found


def _small_model(specs: list[Any], model_type: str, head: str, owner: str) -> str | None:
    """Return the folder of a small model with random weights and the family's own tokenizer; None if it has none."""
    from ...auto import AutoTokenizer

    presets = [name for name in local_presets(owner, model_type, "tokenizer") if name.startswith(f"{owner}:")]
    models = [s for s in specs if isinstance(s, ModelSpec) and s.model_type == model_type]
    model = next((s for s in models if head in s.heads), None)
    config = next((s for s in specs if isinstance(s, ConfigSpec) and s.model_type == model_type), None)
    if not presets or model is None or config is None:
        return None
    tokenizer = AutoTokenizer.from_pretrained(presets[0])
    settings = {**small_config(specs, model_type, owner), "vocab_size": len(tokenizer)}
    ids = ("bos_token_id", "eos_token_id", "pad_token_id")
    settings |= {name: getattr(tokenizer, name) for name in ids if settings.get(name) is not None}
    folder = tempfile.TemporaryDirectory(prefix="mf-check-")
    _FOLDERS.append(folder)
    made = load_target(model.target, owner)(load_target(config.target, owner)(**settings))
    made.save_pretrained(folder.name)
    tokenizer.save_pretrained(folder.name)
    return folder.name


#: Folders of small models, which are there as long as this process is.
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
