"""What holds for every family's configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

from ...errors import ConfigError, MFError
from ...specs import ConfigSpec
from .contract import once
from .plugin import PluginContract

#: Fields of sizes, which are at least 1 wherever a config has them.
_SIZES = ("vocab_size", "seq_length", "hidden_size", "num_layers", "num_heads")


class ConfigContract(PluginContract):
    """A configuration is checked when it is made, and a file gives back what was written.

    Attributes:
        model_type: The family.
        config: Keyword arguments of a small configuration; none: the class's own defaults.
    """

    model_type: ClassVar[str]
    config: ClassVar[Mapping[str, Any]] = {}

    def subject(self) -> str:
        """See the base class."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"the configuration of {self.model_type}, with {settings or 'its defaults'}"

    @once
    def config_class(self) -> Any:
        """The family's config class."""
        return self._load(self.spec_of(ConfigSpec, model_type=self.model_type).target)

    def make_config(self, **changes: Any) -> Any:
        """Return a new small configuration."""
        return self.config_class(**{**self.config, **changes})

    def test_config_has_every_field_in_a_file(self) -> None:
        """A field that a file loses has its default when the checkpoint is opened again: another model, silently."""
        config = self.make_config()
        for field, value in [(None, None), *self._alternatives()]:
            try:
                changed = config if field is None else config.replace(**{field: value})
            except MFError:
                continue  # not a value that this field may have beside the others
            text = json.dumps(changed.to_file_dict())
            back = self.config_class.from_dict(json.loads(text))
            wrong = _difference(changed, back)
            self.expect(wrong is None, f"config.json loses a field: {wrong}",
                        "to_file_dict and from_dict, json_names, _from_alias and _to_alias have to agree")  # fmt: skip

    def test_config_is_read_back_from_json_and_yaml(self, tmp_path: Path) -> None:
        """Users keep configurations in either, and open them by AutoConfig."""
        from ...auto import config_of
        from ...checkpoint.locate import locate
        from ...utils.settings import dump_yaml

        config = self.make_config()
        config.save_pretrained(tmp_path / "saved")
        yaml = tmp_path / "config.yaml"
        yaml.write_text(dump_yaml(json.loads(json.dumps(config.to_file_dict()))), encoding="utf-8")
        for path in (tmp_path / "saved", yaml):
            back = config_of(self.owned(locate(path)))
            self.expect(type(back) is self.config_class, f"{path.name} is read as a {type(back).__name__}",
                        "the config class's model_type is what config.json says")  # fmt: skip
            wrong = _difference(config, back)
            self.expect(wrong is None, f"{path.name} loses a field: {wrong}")

    def test_config_keeps_what_it_does_not_know(self) -> None:
        """Checkpoints carry keys for other programs; to open and save one must not strip it."""
        data = {**self.make_config().to_file_dict(), "key_of_another_program": [1, 2]}
        back = self.config_class.from_dict(data)
        kept = back.to_file_dict().get("key_of_another_program")
        self.expect(kept == [1, 2], f"a key that is no field comes back as {kept!r}", "call super() in from_dict")

    def test_config_refuses_unknown_fields(self) -> None:
        """A misspelt field that is taken in silence trains the wrong model for a week."""
        error = self.refused("a misspelt field", lambda: self.make_config(hiden_sise_x=1))
        self.expect("hiden_sise_x" in str(error), f"the error does not name the field: {error.what}")
        config = self.make_config()
        self.refused("setting a misspelt field", lambda: setattr(config, "hiden_sise_x", 1))

    def test_config_refuses_bad_values(self) -> None:
        """What a config lets pass fails later, inside MindSpore, with a message that names no field."""
        fields = self.config_class.model_fields
        bad: list[tuple[str, Any]] = [(name, value) for name in _SIZES if name in fields for value in (0, -1, "many")]
        bad += [(name, object()) for name, info in fields.items() if info.annotation is not Any]
        for field, value in bad:
            error = self.refused(
                f"{self.config_class.__name__}({field}={value!r:.20})", partial(self.make_config, **{field: value}),
                f"annotate it, as by `{field}: Annotated[int, Field(gt=0)]`",
            )  # fmt: skip
            self.expect(field in str(error), f"the error about {field}={value!r:.20} does not name it: {error.what}",
                        "leave it to pydantic, or name the field in your validator")  # fmt: skip
            self.expect(isinstance(error, ConfigError), f"{field}={value!r:.20} raises {type(error).__name__}",
                        "raise ConfigError, or ValueError within a validator")  # fmt: skip

    def owned(self, checkpoint: Any) -> Any:
        """Return a checkpoint as this distribution's, in case others claim the family too."""
        from dataclasses import replace

        return replace(checkpoint, owner=self.owner)

    def _alternatives(self) -> Iterator[tuple[str, Any]]:
        """Yield fields with another value than they have; which of them may have it, the config tells."""
        config = self.make_config()
        for name, info in self.config_class.model_fields.items():
            value = getattr(config, name)
            options = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
            others = [option for option in options if option != value]
            if others:
                yield name, others[0]
            elif isinstance(value, bool):
                yield name, not value
            elif isinstance(value, int):
                yield from ((name, value * 2), (name, value + 1))
            elif isinstance(value, float):
                yield from ((name, value / 2), (name, value + 0.25))
            elif isinstance(value, str):
                yield from ((name, "float32"), (name, "float16"), (name, "other"))


def _difference(one: Any, other: Any) -> str | None:
    """Return which field differs, and how; None: none does."""
    before, after = one.to_dict(), other.to_dict()
    for name in before:
        if before[name] != after.get(name):
            return f"{name}={before[name]!r} comes back as {after.get(name)!r}"
    return None
