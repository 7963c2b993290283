"""Model configurations: validated fields, the names they go by in files, reading and writing ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from .boundary import public
from .errors import ConfigError, did_you_mean, shown
from .utils.files import CONFIG_FILE, write_json
from .utils.paths import user_path
from .utils.settings import explain

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def _dtype_name(value: Any) -> Any:
    # "fp16", "mstype.float16", or a type itself: MindSpore's prints "Float16", numpy's "<class 'numpy.float16'>".
    name = str(value).rpartition(".")[2].lower().rstrip("'>")
    name = _DTYPES.get(name, name)
    return name if name in _DTYPES.values() else value


#: The name of a floating-point type; short forms (``fp16``) and MindSpore's types are accepted.
DType = Annotated[Literal["float32", "float16", "bfloat16"], BeforeValidator(_dtype_name)]

#: The id of a special token; None: there is none.
TokenId = Annotated[int, Field(ge=0)] | None

#: The ids of the tokens that end a text, of which chat models have several.
TokenIds = Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]] | None

#: The names in ``mf_core.nn.ACTIVATIONS``, which are those of ``transformers``; here for readers without MindSpore.
ACTIVATION_NAMES = (
    "gelu", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh", "linear",
    "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh",
)  # fmt: skip

C = TypeVar("C", bound="PretrainedConfig")

#: Largest whole number in a configuration, since ids and sizes are int32; and smaller limits of some fields.
_LARGEST = 2**31 - 1
_LIMITS = {
    "num_layers": 10_000, "hidden_size": 2**20, "num_heads": 2**16, "num_key_value_heads": 2**16, "head_dim": 2**16,
    "seq_length": 2**24,
}  # fmt: skip


class _AsWritten(dict[str, tuple[Any, Any]]):
    """Field -> (its value, what the file has for it). Says nothing about whether configurations are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsWritten)

    __hash__ = None


class PretrainedConfig(BaseModel):
    """Base of the families' configurations.

    A subclass is a pydantic model: its fields are the hyper-parameters, with defaults and constraints. Unknown keywords
    are errors. What a ``config.json`` holds beyond the fields is kept in ``extra`` and written back. So is what it has
    for a field in another form than the field's: a null where the field needs a value (the default holds), -1 for a
    token that there is not (None), a list of end tokens where the field takes one (the first; :attr:`eos_token_ids` has
    all).

    Class attributes:
        model_type: The family's name, as ``config.json`` has it.
        json_names: Field -> the key that ``config.json`` uses for it. The key is accepted and readable as another name
            of the field.
        aliases: Further accepted names -> field.
        unused: Fields of a base class that the family has not. They keep their defaults; giving one is an error. What a
            file has under their names is kept in ``extra``, as any other key without a meaning.
    """

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), validate_default=True, allow_inf_nan=False
    )

    model_type: ClassVar[str] = ""
    json_names: ClassVar[Mapping[str, str]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}
    unused: ClassVar[frozenset[str]] = frozenset()

    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)
    _as_written: _AsWritten = PrivateAttr(default_factory=_AsWritten)

    def __repr__(self) -> str:
        """Return the class and the fields, one a line."""
        fields = [f"    {name}={getattr(self, name)!r}," for name in self._used_fields()]
        return "\n".join([f"{type(self).__name__}(", *fields, ")"])

    __str__ = __repr__

    @model_validator(mode="after")
    def _check_sizes(self: C) -> C:
        """Raise for sizes beyond those of any model, before memory is allocated."""
        for name, value in self.__dict__.items():
            if type(value) is int and value > _LIMITS.get(name, _LARGEST):
                raise ValueError(f"{name}={shown(value, 40)} is larger than {_LIMITS.get(name, _LARGEST)}")
        return self

    @public
    def __init__(self, **fields: Any) -> None:
        """Build from keywords under any of the fields' names; raise ConfigError for what is unknown or out of range."""
        try:
            super().__init__(**self._canonical(fields))
        except ValidationError as error:
            raise self._explain(error) from error

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field under any of its names; an invalid value leaves the configuration unchanged."""
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        field = self.field_of(name)
        if field is None:
            raise self._unknown(name)
        values, was_set = dict(self.__dict__), set(self.model_fields_set)
        try:
            super().__setattr__(field, self._from_alias(name, value))
        except ValidationError as error:
            self.__dict__.update(values)  # pydantic runs a validator of the whole model after the change
            object.__setattr__(self, "__pydantic_fields_set__", was_set)
            raise self._explain(error) from error

    def __getattr__(self, name: str) -> Any:
        field = None if name.startswith("_") else self.field_of(name)
        if field is not None and field != name:
            return self._to_alias(name, getattr(self, field))
        return super().__getattr__(name)  # type: ignore[misc]

    @property
    def extra(self) -> dict[str, Any]:
        """Keys of ``config.json`` beyond the known fields."""
        return self._extra

    @property
    def activation_name(self) -> str | None:
        """The activation's name in ``mf_core.nn.ACTIVATIONS``: ``hidden_act``, unless the family has other names."""
        return getattr(self, "hidden_act", None)

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The ids of the tokens that end a text; empty where there are none."""
        value = getattr(self, "eos_token_id", None)
        if "eos_token_id" in self._as_written:
            known, written = self._as_written["eos_token_id"]
            value = written if known == value and isinstance(written, list) else value
        ids = value if isinstance(value, (list, tuple)) else [value]
        return tuple(int(index) for index in ids if index is not None and index >= 0)

    @classmethod
    def field_of(cls, name: str) -> str | None:
        """Return the field that goes by ``name``, or None."""
        by_key = {key: field for field, key in cls.json_names.items()}
        field = name if name in cls.model_fields else by_key.get(name) or cls.aliases.get(name)
        return None if field in cls.unused else field

    @classmethod
    @public
    def from_dict(cls: type[C], data: Mapping[str, Any], **overrides: Any) -> C:
        """Build from a file's contents; keys that are no fields go to ``extra``, unknown overrides are errors."""
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        written: dict[str, Any] = {}
        for key, value in data.items():
            field = cls.field_of(key)
            if key == "model_type":
                continue
            if field is None:
                extra[key] = value
                continue
            fitting = _fit(cls, field, value)
            if fitting is not _ABSENT:
                known[key] = fitting
            if key == cls.json_names.get(field, field) and fitting is not value:
                written[field] = value
        given = cls._canonical(known)
        for field, key in cls.json_names.items():
            if field in given and known.get(key) is not None and cls._to_alias(key, given[field]) != known[key]:
                written.setdefault(field, known[key])  # two names of one value
        changed = cls._canonical(overrides)
        config = cls(**{**given, **changed})
        config._extra = extra
        for field in written.keys() - changed.keys():
            config._as_written[field] = (getattr(config, field), written[field])
        return config

    @classmethod
    @public
    def from_pretrained(cls: type[C], name_or_path: str | Path, *, revision: str | None = None, **overrides: Any) -> C:
        """Return the configuration of a preset, directory, hub repository or ``.json``/``.yaml`` file.

        Args:
            name_or_path: ``"gpt2"``, ``"./run"``, ``"owner/name"``, ``"model.yaml"``.
            revision: Branch, tag or commit of a hub repository.
            **overrides: Fields to change.

        Raises:
            ConfigError: An override is unknown or out of range, or the checkpoint is of another family.
        """
        from .checkpoint.locate import locate

        checkpoint = locate(name_or_path, revision)
        if checkpoint.model_type != cls.model_type:
            raise ConfigError(
                f"{checkpoint.name!r} is a {checkpoint.model_type!r} checkpoint, not one for {cls.__name__}",
                value=checkpoint.name, hint="use AutoConfig, which picks the class",
            )
        return cls.from_dict(checkpoint.config, **overrides)

    @public
    def replace(self: C, **overrides: Any) -> C:
        """Return a copy with ``overrides``, which are checked as in the constructor."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        config = self.from_dict({**self._extra, **fields}, **overrides)
        config._as_written.update(self._as_written)
        return config

    @public
    def to_dict(self) -> dict[str, Any]:
        """Return every field under its own name, and ``extra``."""
        return {**self._extra, "model_type": self.model_type, **self.model_dump(exclude=set(self.unused))}

    def to_file_dict(self) -> dict[str, Any]:
        """Return the contents of ``config.json``: fields with a key there or a non-default value, and extra."""
        data: dict[str, Any] = {**self._extra, "model_type": self.model_type}
        defaults = {name: info.get_default(call_default_factory=True) for name, info in type(self).model_fields.items()}
        for name, value in self.model_dump(exclude=set(self.unused)).items():
            if name in self.json_names or name in self.model_fields_set or value != defaults[name]:
                key = self.json_names.get(name, name)
                data[key] = self._to_alias(key, value)
        for name, (value, written) in self._as_written.items():
            if getattr(self, name) == value:
                data[self.json_names.get(name, name)] = written
        return data

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json`` into ``directory``, created if missing."""
        write_json(user_path(directory) / CONFIG_FILE, self.to_file_dict())

    @classmethod
    def _canonical(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rename keywords to field names; raise for unknown ones and for two names of one field that disagree."""
        result: dict[str, Any] = {}
        source: dict[str, str] = {}
        for name, value in fields.items():
            field = cls.field_of(name)
            if field is None:
                raise cls._unknown(name)
            value = cls._from_alias(name, value)
            if field in result and result[field] != value:
                raise ConfigError(
                    f"{cls.__name__}: {source[field]}={result[field]!r} and {name}={value!r} are the same field",
                    value=value, hint="give one of them",
                )
            result[field], source[field] = value, name
        return result

    @classmethod
    def _from_alias(cls, name: str, value: Any) -> Any:
        """Translate a value given under ``name`` to the field's own terms; for subclasses whose files use others."""
        return value

    @classmethod
    def _to_alias(cls, name: str, value: Any) -> Any:
        """Translate a field's value to the terms of ``name``: the inverse of ``_from_alias``."""
        return value

    @classmethod
    def _unknown(cls, name: str) -> ConfigError:
        if name == "trust_remote_code":
            return ConfigError(
                "trust_remote_code is not supported: code that comes with a checkpoint is never run", value=name,
                why="a family's code is in an installed plugin", hint="leave it out; `mf models` lists the families",
            )  # fmt: skip
        known = [*cls.model_fields, *cls.json_names.values(), *cls.aliases]
        known = [each for each in known if cls.field_of(each) is not None]
        return ConfigError(
            f"{cls.__name__} has no field {name!r}", value=name,
            hint=did_you_mean(name, known) or f"its fields are: {', '.join(sorted(cls._used_fields()))}",
        )

    @classmethod
    def _used_fields(cls) -> list[str]:
        return [name for name in cls.model_fields if name not in cls.unused]

    @classmethod
    def _explain(cls, error: ValidationError) -> ConfigError:
        what, value = explain(cls.__name__, error)
        return ConfigError(what, value=value)


_ABSENT = object()


def _fit(cls: type[PretrainedConfig], field: str, value: Any) -> Any:
    """Convert a file's value to the field's type; ``_ABSENT`` where the field's default has to do.

    What fits in no form is returned as it is, for the constructor to refuse.
    """
    if field.endswith("_token_id"):
        if isinstance(value, list):
            ids = [index for index in value if not (isinstance(index, int) and index < 0)]
            if len(ids) == len(value) and _accepts(cls, field, tuple(ids)):
                return value
            value = ids if _accepts(cls, field, tuple(ids)) else ids[0] if ids else None
        elif isinstance(value, int) and value < 0:
            value = None
    return _ABSENT if value is None and not _accepts(cls, field, None) else value


@cache
def _accepts(cls: type[PretrainedConfig], field: str, value: Any) -> bool:
    """Return whether a field takes None, or a tuple in the form of a list."""
    info = cls.model_fields[field]
    try:
        annotation: Any = info.annotation
        TypeAdapter(annotation).validate_python(list(value) if isinstance(value, tuple) else value)
    except ValidationError:
        return False
    return True

