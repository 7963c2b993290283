"""The base of settings that people write: checked when set, read from and written to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..boundary import public
from ..errors import ArgumentError, MFError, check_options
from .files import read_config_file, write_text
from .paths import user_path

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """A pydantic model whose unknown fields and bad values are ArgumentErrors that name close fields and the value.

    Class attributes:
        aliases: Further accepted names -> field.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=())

    aliases: ClassVar[Mapping[str, str]] = {}

    @public
    def __init__(self, **fields: Any) -> None:
        """Build from keywords."""
        cls = type(self)
        check_options(fields, [*cls.model_fields, *cls.aliases], cls.__name__, "field")
        given: dict[str, Any] = {}
        source: dict[str, str] = {}
        for name, value in fields.items():
            field = cls.aliases.get(name, name)
            if field in given and given[field] != value:
                raise ArgumentError(
                    f"{cls.__name__}: {source[field]}={given[field]!r} and {name}={value!r} are the same setting",
                    value=value, hint="give one of them",
                )  # fmt: skip
            given[field], source[field] = value, name
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise cls._refusal(error, given) from error

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field; a value that is refused leaves it as it was."""
        cls = type(self)
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        check_options([name], [*cls.model_fields, *cls.aliases], cls.__name__, "field")
        before = dict(self.__dict__)
        try:
            super().__setattr__(cls.aliases.get(name, name), value)
        except ValidationError as error:
            self.__dict__.update(before)  # pydantic runs a validator of the whole after the change
            raise cls._refusal(error, {name: value}) from error

    @classmethod
    def _refusal(cls, error: ValidationError, given: Mapping[str, Any]) -> MFError:
        """Return the error that a user gets for values that pydantic refuses; subclasses may say it in their own words.

        Args:
            error: What pydantic found.
            given: The values by field.
        """
        what, bad = explain(cls.__name__, error)
        return ArgumentError(what, value=bad)

    def __getattr__(self, name: str) -> Any:
        field = type(self).aliases.get(name)
        return getattr(self, field) if field is not None else super().__getattr__(name)  # type: ignore[misc]

    @classmethod
    @public
    def from_file(cls: type[S], path: str | Path) -> S:
        """Read a ``.yaml`` or ``.json`` file.

        Raises:
            FileNotFoundError, IntegrityError: It is not there, or no mapping.
            ArgumentError: A field is unknown or out of range.
        """
        return cls(**read_config_file(user_path(path)))

    @public
    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return all fields as YAML, and write them to ``path`` where one is given."""
        text = dump_yaml(self.model_dump(mode="json"))
        if path is not None:
            write_text(user_path(path), text)
        return text


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, in its own order."""
    import yaml

    text: str = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)
    return text


def explain(whose: str, error: ValidationError) -> tuple[str, Any]:
    """Return what is wrong first, as ``"Owner: field=value: reason"``, and the value; for pydantic's errors."""
    first = error.errors()[0]
    path, value = ".".join(str(part) for part in first["loc"]), first.get("input")
    message = first["msg"].removeprefix("Value error, ")
    return (f"{whose}: {path}={value!r}: {message}", value) if path else (f"{whose}: {message}", None)
