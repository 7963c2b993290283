"""Model configurations: validated fields, the names they go by in files, reading and writing ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr, ValidationError

from .errors import ConfigError, did_you_mean
from .utils.files import CONFIG_FILE, write_json
from .utils.settings import explain

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def _dtype_name(value: Any) -> Any:
    # "fp16", "mstype.float16", or a type itself: MindSpore's prints "Float16", numpy's "<class 'numpy.float16'>".
    name = str(value).rpartition(".")[2].lower().rstrip("'>")
    name = _DTYPES.get(name, name)
    return name if name in _DTYPES.values() else value


#: The name of a floating-point type; short forms (``fp16``) and MindSpore's types are accepted.
DType = Annotated[Literal["float32", "float16", "bfloat16"], BeforeValidator(_dtype_name)]

C = TypeVar("C", bound="PretrainedConfig")


class PretrainedConfig(BaseModel):
    """Base of the families' configurations.

    A subclass is a pydantic model: its fields are the hyper-parameters, with defaults and constraints. Unknown keywords
    are errors. What a ``config.json`` holds beyond the fields is kept in ``extra`` and written back.

    Class attributes:
        model_type: The family's name, as ``config.json`` has it.
        json_names: Field -> the key that ``config.json`` uses for it. The key is accepted and readable as another name
            of the field.
        aliases: Further accepted names -> field.
    """

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), validate_default=True, allow_inf_nan=False
    )

    model_type: ClassVar[str] = ""
    json_names: ClassVar[Mapping[str, str]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}

    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)

    def __init__(self, **fields: Any) -> None:
        """Build from keywords under any of the fields' names; raise ConfigError for what is unknown or out of range."""
        try:
            super().__init__(**self._canonical(fields))
        except ValidationError as error:
            raise self._explain(error) from error

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field under any of its names; a value that is refused leaves the configuration as it was."""
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
        """What ``config.json`` held beyond the known fields."""
        return self._extra

    @classmethod
    def field_of(cls, name: str) -> str | None:
        """Return the field that goes by ``name``, or None."""
        if name in cls.model_fields:
            return name
        by_key = {key: field for field, key in cls.json_names.items()}
        return by_key.get(name) or cls.aliases.get(name)

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any], **overrides: Any) -> C:
        """Build from a file's contents; keys that are no fields go to ``extra``, unknown overrides are errors."""
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in data.items():
            if key != "model_type":
                (extra if cls.field_of(key) is None else known)[key] = value
        fields = {**cls._canonical(known), **cls._canonical(overrides)}
        config = cls(**fields)
        config._extra = extra
        return config

    @classmethod
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

    def replace(self: C, **overrides: Any) -> C:
        """Return a copy with ``overrides``, which are checked as in the constructor."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return self.from_dict({**self._extra, **fields}, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return every field under its own name, and ``extra``."""
        return {**self._extra, "model_type": self.model_type, **self.model_dump()}

    def to_file_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` gets: fields that have a key there or are not at their default, and extra."""
        data: dict[str, Any] = {**self._extra, "model_type": self.model_type}
        defaults = {name: info.get_default(call_default_factory=True) for name, info in type(self).model_fields.items()}
        for name, value in self.model_dump().items():
            if name in self.json_names or name in self.model_fields_set or value != defaults[name]:
                key = self.json_names.get(name, name)
                data[key] = self._to_alias(key, value)
        return data

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json`` into ``directory``, which is made if need be."""
        write_json(Path(directory) / CONFIG_FILE, self.to_file_dict())

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
        known = [*cls.model_fields, *cls.json_names.values(), *cls.aliases]
        return ConfigError(
            f"{cls.__name__} has no field {name!r}", value=name,
            hint=did_you_mean(name, known) or f"its fields are: {', '.join(sorted(cls.model_fields))}",
        )

    @classmethod
    def _explain(cls, error: ValidationError) -> ConfigError:
        what, value = explain(cls.__name__, error)
        return ConfigError(what, value=value)
