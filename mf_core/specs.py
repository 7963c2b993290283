"""What a plugin offers, as frozen data.

A plugin's hooks (see :mod:`mf_core.hookspecs`) return these. A spec names the class it stands for as a string,
``"package.module:Attribute"``, which is imported only when somebody uses the name. Every spec is checked when it is
made: a malformed one raises :class:`~mf_core.errors.SpecError` in the plugin that wrote it. What it holds afterwards
are plain strings, tuples and mappings, whatever subclasses of them it was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from .errors import SpecError, shown

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")
_SOURCE = re.compile(r"(hub:[\w.-]+/[\w.-]+(@[\w./-]+)?|package:[A-Za-z_][\w.]*(/[\w./-]+)?|https?://\S+)\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NAME_FORM = "a name (letters, digits, '.', '_', '-')"
#: Targets that a spec may leave out.
_OPTIONAL = ("recipe", "converter")


#: Most characters of a name, and of any other text.
_LONGEST_NAME, _LONGEST_TEXT = 128, 1000


def exact(cls: type[T], item: T) -> T:
    """Return ``item``, which may be of a subclass or have been changed behind the checks, as a checked ``cls``."""
    return cls(**{f.name: getattr(item, f.name) for f in fields(cls)})  # type: ignore[arg-type]


def _text(spec: object, field_name: str, value: Any, form: str, longest: int = _LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{type(spec).__name__}.{field_name}={shown(value)} is not {form}", value=value)
    plain = str.__str__(value)
    if len(plain) > longest:
        raise SpecError(
            f"{type(spec).__name__}.{field_name}={shown(plain, 40)} is longer than {longest} characters", value=plain
        )
    return plain


def _matching(
    spec: object, field_name: str, value: Any, pattern: re.Pattern[str], form: str, longest: int = _LONGEST_TEXT
) -> str:
    plain = _text(spec, field_name, value, form, longest)
    if not pattern.match(plain):
        raise SpecError(f"{type(spec).__name__}.{field_name}={shown(plain)} is not {form}", value=plain)
    return plain


def _check(spec: object, field_name: str, pattern: re.Pattern[str], form: str, longest: int = _LONGEST_TEXT) -> None:
    plain = _matching(spec, field_name, getattr(spec, field_name), pattern, form, longest)
    object.__setattr__(spec, field_name, plain)


def _check_name(spec: object, field_name: str) -> None:
    _check(spec, field_name, _NAME, _NAME_FORM, _LONGEST_NAME)


def _check_target(spec: object, field_name: str) -> None:
    if getattr(spec, field_name) is not None or field_name not in _OPTIONAL:
        _check(spec, field_name, _TARGET, "'package.module:Attribute'")


def _check_text(spec: object, field_name: str) -> None:
    form = "a line of printable text"
    value = _text(spec, field_name, getattr(spec, field_name), form)
    if not value.isprintable():
        raise SpecError(f"{type(spec).__name__}.{field_name}={shown(value)} is not {form}", value=value)
    object.__setattr__(spec, field_name, value)


def _check_int(spec: object, field_name: str) -> None:
    value = getattr(spec, field_name)
    if not isinstance(value, int):
        raise SpecError(f"{type(spec).__name__}.{field_name}={shown(value)} is not an integer", value=value)
    object.__setattr__(spec, field_name, int.__int__(value))


def _items(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a tuple's items without asking a subclass for them."""
    return tuple(tuple.__iter__(values))


def _check_names(spec: object, field_name: str) -> None:
    values = getattr(spec, field_name)
    if not isinstance(values, tuple):
        raise SpecError(f"{type(spec).__name__}.{field_name}={shown(values)} is not a tuple of names", value=values)
    names = (_matching(spec, field_name, name, _NAME, _NAME_FORM, _LONGEST_NAME) for name in _items(values))
    object.__setattr__(spec, field_name, tuple(names))


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named checkpoint of a family: hyper-parameters, and where its files come from. New presets need no code.

    Attributes:
        name: What the user types, ``"gpt2_medium"``.
        config: The hyper-parameters that differ from the config class's defaults, under any of its field names.
        weights: Where ``model.safetensors`` (or its sharded index) is: ``"hub:owner/name"``,
            ``"hub:owner/name@revision"``, ``"package:mf_gpt2/data/tiny"`` (a folder inside an installed package) or
            ``"https://host/folder"``.
            None: no weights are published; ``weights_note`` then says what the user can do.
        tokenizer: Where the vocabulary files are, in the same forms; None means the same place as the weights.
        sha256: File name -> SHA-256 of its bytes. A downloaded file listed here is refused when it differs; every file
            of an ``http(s)://`` source must be listed.
        license: SPDX identifier of the weights' licence.
        parameters: How many weights the model has, for listings; 0: not said.
        aliases: Other spellings of the name.
        description: One line for ``mf models``.
        weights_note: Said to the user when ``weights`` is None.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    tokenizer: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    parameters: int = 0
    aliases: tuple[str, ...] = ()
    description: str = ""
    weights_note: str = ""

    def __post_init__(self) -> None:
        _check_name(self, "name")
        _check_names(self, "aliases")
        for name in ("weights", "tokenizer"):
            if getattr(self, name) is not None:
                _check(self, name, _SOURCE, "'hub:owner/name', 'package:pkg/folder' or 'https://…'")
        for name in ("license", "description", "weights_note"):
            _check_text(self, name)
        _check_int(self, "parameters")
        if self.parameters < 0:
            raise SpecError(f"Preset.parameters={self.parameters} is negative", value=self.parameters)
        for name in ("config", "sha256"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                raise SpecError(f"Preset.{name}={shown(value)} is not a mapping of names to values", value=value)
            object.__setattr__(self, name, MappingProxyType({str.__str__(k): v for k, v in dict(value).items()}))
        digest = "64 lower-case hexadecimal digits"
        digests = {file: _matching(self, "sha256", value, _SHA256, digest) for file, value in self.sha256.items()}
        object.__setattr__(self, "sha256", MappingProxyType(digests))


@dataclass(frozen=True, kw_only=True)
class _FamilySpec:
    """A class of a model family.

    Attributes:
        model_type: The family's name, ``"gpt2"``: what ``config.json`` calls ``model_type``.
        target: The class, ``"mf_gpt2.modeling:GPT2LMHeadModel"``; also importable as ``from mf_core import
            GPT2LMHeadModel``.
    """

    model_type: str
    target: str

    def __post_init__(self) -> None:
        _check_name(self, "model_type")
        _check_target(self, "target")


@dataclass(frozen=True, kw_only=True)
class ConfigSpec(_FamilySpec):
    """The family's config class (a :class:`mf_core.PretrainedConfig`) and its presets."""

    presets: tuple[Preset, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        presets = _items(self.presets) if isinstance(self.presets, tuple) else (None,)
        if not all(isinstance(preset, Preset) for preset in presets):
            raise SpecError(f"ConfigSpec.presets={shown(self.presets)} is not a tuple of Preset", value=self.presets)
        object.__setattr__(self, "presets", presets)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(_FamilySpec):
    """A model class (a :class:`mf_core.PretrainedModel`) of the family.

    Attributes:
        heads: Which auto classes it answers to: ``"base"`` for :class:`mf_core.AutoModel`, ``"causal_lm"`` for
            :class:`mf_core.AutoModelForCausalLM`. A family's main model lists both.
        converter: The :class:`mf_core.conversion.Converter` subclass by which ``mf convert`` reads checkpoints of the
            family in other layouts, as a target string; None when there is none.
    """

    heads: tuple[str, ...] = ("base",)
    converter: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names(self, "heads")
        _check_target(self, "converter")


class TokenizerSpec(_FamilySpec):
    """The family's tokenizer class (a :class:`mf_core.PretrainedTokenizer`)."""


class ProcessorSpec(_FamilySpec):
    """The family's processor class (a :class:`mf_core.PretrainedProcessor`)."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task: how to run it and how to train it.

    Attributes:
        name: ``"text_generation"``.
        pipeline: The :class:`mf_core.Pipeline` subclass that ``pipeline(task)`` builds, as a target string.
        recipe: The :class:`mf_core.TrainingRecipe` subclass (collation, loss, metrics) that ``Trainer(task=…)`` uses,
            as a target string; None when the task cannot be trained.
        aliases: Other spellings, such as ``"text-generation"``.
        description: One line for listings.
    """

    name: str
    pipeline: str
    recipe: str | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _check_name(self, "name")
        _check_target(self, "pipeline")
        _check_target(self, "recipe")
        _check_names(self, "aliases")
        _check_text(self, "description")


@dataclass(frozen=True, kw_only=True)
class BackendSpec:
    """A hardware backend.

    Attributes:
        name: What ``device_target`` and ``MF_BACKEND`` call it, in lower case: ``"cpu"``, ``"ascend"``.
        target: The :class:`mf_core.DeviceBackend` subclass.
        priority: When no backend is named, the available one of the highest priority serves; CPU is 0.
        description: One line for listings.
    """

    name: str
    target: str
    priority: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        _check_name(self, "name")
        _check_target(self, "target")
        _check_int(self, "priority")
        _check_text(self, "description")
