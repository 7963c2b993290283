"""The settings of ``generate``, validated on input; read from and written to checkpoints."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from ..errors import ArgumentError, UnsupportedError, did_you_mean, shown
from ..utils.callers import callers_level
from ..utils.files import write_json
from ..utils.paths import user_path
from .constraints import Constraints
from .options import Id, Ids, extra, option
from .penalties import Penalties
from .truncation import Truncation
from .unsupported import UNSUPPORTED

if TYPE_CHECKING:
    from ..config import PretrainedConfig

#: Where a checkpoint keeps its generation settings.
GENERATION_FILE = "generation_config.json"
#: Most sequences of one prompt, and most beams.
MOST_SEQUENCES, MOST_BEAMS = 4096, 256
#: Most stop strings of one call, and most characters of all of them.
MOST_STOPS, MOST_STOP_CHARACTERS = 10_000, 200_000

#: Settings that ``transformers`` has under other names.
_OTHER_NAMES = {"stop_strings": "stop"}


def _strings(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _ids(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(index.item() if hasattr(index, "item") else index for index in value) or None
    return value


class GenerationConfig(Truncation, Constraints, Penalties):
    """How to generate: lengths, how tokens are chosen, and where a text ends.

    The fields' descriptions say what each does; ``mf generate --help`` has them, too. Values are checked and normalised
    when they are set.

    Raises:
        ArgumentTypeError: A value has the wrong type. A bool is not an int here.
        ArgumentError: A value is out of range, or two contradict each other.
        UnsupportedError: Options cannot be combined.
    """

    max_length: int | None = option(
        None, "Most tokens in prompt and continuation together. Not together with max_new_tokens.", ge=1
    )
    max_new_tokens: int | None = option(None, "Most tokens in the continuation.", ge=1)
    do_sample: bool = option(
        False, "Draw from the distribution. False takes the most likely token and ignores the options of sampling."
    )
    seed: int | None = option(
        None, "Of the draws: the same seed gives the same text. None: another on every call.", sampling=True, ge=0
    )
    num_return_sequences: int = option(
        1, "Continuations for each prompt; more than 1 needs sampling or as many beams.", ge=1, le=MOST_SEQUENCES
    )
    num_beams: int = option(1, "Keep the so many most likely texts at each step; 1 is off.", ge=1, le=MOST_BEAMS)
    length_penalty: float = option(
        1.0, "With beams: texts are compared by log-probability / length ** length_penalty; more favours longer ones."
    )
    early_stopping: bool | Literal["never"] = option(
        False, "With beams: True ends when there are as many finished texts as beams; False when a better one is "
        "unlikely; 'never' when none can come.",
    )  # fmt: skip
    eos_token_id: Annotated[Id | tuple[Id, ...] | None, BeforeValidator(_ids)] = option(
        None, "The id or ids that end a text; None for none.", hint="eos_token_id=None to continue to the length limit"
    )
    bos_token_id: Id | None = option(None, "Of the model; for files.", flag=False)
    decoder_start_token_id: Id | None = option(
        None, "What the decoder of a model with an encoder begins with.", flag=False
    )
    pad_token_id: Id | None = option(
        None, "Of the model. Rows of ids that it pads are stripped of it.", flag=False
    )
    stop: Annotated[tuple[str, ...], BeforeValidator(_strings), Field(max_length=MOST_STOPS)] = option(
        (), "Strings that end a text, which ends before them; they are looked for in special tokens, too.",
        form="a str or a tuple of str",
    )  # fmt: skip
    stop_token_ids: Ids = option((), "Ids that end a text, beside eos_token_id.", ids=True)
    prompt_lookup_num_tokens: int | None = option(
        None, "Propose so many tokens a step by what followed before: the same text, faster where it repeats itself. "
        "7 cost little more than none.", ge=1,
    )  # fmt: skip
    num_assistant_tokens: int = option(
        7, "Most tokens a step that assistant_model proposes. More than 7 are costly on a CPU.", ge=1
    )

    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)
    _implied: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ArgumentError(
                f"stop={shown(value)} must be of non-empty strings", value=value, hint="stop=() for none"
            )  # fmt: skip
        if (size := sum(map(len, value))) > MOST_STOP_CHARACTERS:
            raise ArgumentError(f"stop has {size} characters; at most {MOST_STOP_CHARACTERS} are allowed", value=size)
        return value

    @model_validator(mode="after")
    def _check_together(self) -> GenerationConfig:
        if self.max_length is not None and self.max_new_tokens is not None:
            raise ArgumentError(
                f"both max_length={self.max_length} and max_new_tokens={self.max_new_tokens} are given",
                value=(self.max_length, self.max_new_tokens),
                why="max_length counts the prompt, max_new_tokens does not", hint="give one of them",
            )  # fmt: skip
        for low, high in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
            least, most = getattr(self, low), getattr(self, high)
            if most is not None and least > most:
                raise ArgumentError(f"{low}={least} is more than {high}={most}", value=least)
        if self.num_beams > 1:
            self._check_beams()
        elif self.num_return_sequences > 1 and not self.do_sample:
            raise ArgumentError(
                f"num_return_sequences={self.num_return_sequences} with do_sample=False",
                value=self.num_return_sequences, why="without sampling all the texts would be identical",
                hint=f"do_sample=True, or num_beams={self.num_return_sequences}",
            )  # fmt: skip
        return self

    def _check_beams(self) -> None:
        if self.num_return_sequences > self.num_beams:
            raise ArgumentError(
                f"num_return_sequences={self.num_return_sequences} is more than num_beams={self.num_beams}",
                value=self.num_return_sequences, why="a search ends with as many texts as there are beams",
                hint=f"num_beams={self.num_return_sequences}",
            )  # fmt: skip
        if self.prompt_lookup_num_tokens is not None:
            raise UnsupportedError(
                f"prompt_lookup_num_tokens={self.prompt_lookup_num_tokens} with num_beams={self.num_beams}",
                value=self.num_beams, why="proposed tokens are verified for one text, and beams are several",
                hint="leave out one of them",
            )  # fmt: skip

    @classmethod
    def from_kwargs(cls, defaults: Mapping[str, Any] | GenerationConfig, **kwargs: Any) -> GenerationConfig:
        """Return ``defaults`` (a model's own settings) overridden by ``kwargs`` (what the caller typed).

        An option of sampling (``temperature``, ``top_k``, ``seed``, …) given without ``do_sample`` turns sampling on,
        whatever the defaults say. Given with ``do_sample=False`` it is left out, with a ``UserWarning``; so are options
        of beams with ``num_beams=1``. ``max_length`` replaces a default ``max_new_tokens``, and the other way round.
        None unsets a limit, an id or the seed.

        Raises:
            ArgumentError: A keyword is unknown (close names are in the hint), or as for the class.
        """
        return cls.merge(defaults, kwargs)

    @classmethod
    def merge(
        cls, defaults: Mapping[str, Any] | GenerationConfig, kwargs: Mapping[str, Any], *, warn: bool = True
    ) -> GenerationConfig:
        """As :meth:`from_kwargs`; without warnings unless ``warn``."""
        base = defaults.set_fields() if isinstance(defaults, GenerationConfig) else dict(defaults)
        given = {_OTHER_NAMES.get(name, name): value for name, value in kwargs.items()}
        for name in (*given, *base):
            cls._check_name(name)
        for name, value in given.items():
            if not (name in SAMPLING and given.get("do_sample") is False):
                cls._check_alone(name, value)
            else:
                cls._check_type(name, value)
        for name, other in (("max_length", "max_new_tokens"), ("max_new_tokens", "max_length")):
            if given.get(name) is not None and given.get(other) is None:
                base.pop(other, None)
        sampling = [name for name in SAMPLING if given.get(name) is not None]
        ignored = []
        if sampling and "do_sample" not in given:
            given["do_sample"] = True
        elif sampling and not given["do_sample"]:
            ignored = [("do_sample=False", name) for name in sampling]
        if given.get("num_beams", base.get("num_beams", 1)) == 1:
            beams = [name for name in ("length_penalty", "early_stopping") if name in given]
            ignored += [("num_beams=1", name) for name in beams if given[name] != cls.model_fields[name].default]
        for why in dict.fromkeys(why for why, _ in ignored):
            words = ", ".join(f"{name}={given.pop(name)!r}" for reason, name in ignored if reason == why)
            if warn:
                warnings.warn(f"{why}: ignored {words}", UserWarning, stacklevel=callers_level())
        config = cls(**{**base, **given})
        if isinstance(defaults, GenerationConfig):
            config._implied = defaults._implied - set(given)
        return config

    @classmethod
    def check_supported(cls, name: str) -> None:
        """Raise UnsupportedError for an option that ``transformers`` has and that is not supported here."""
        if name in UNSUPPORTED:
            found = UNSUPPORTED[name]
            raise UnsupportedError(
                f"generation does not support {name!r}", value=name, why=found.why, hint=found.hint
            )

    @classmethod
    def _check_name(cls, name: str) -> None:
        cls.check_supported(name)
        if name not in cls.model_fields:
            raise ArgumentError(
                f"generation has no argument {name!r}", value=name,
                hint=did_you_mean(name, cls.model_fields) or f"one of {', '.join(cls.model_fields)}",
            )

    @classmethod
    def _check_alone(cls, name: str, value: Any) -> None:
        """Check an option by itself, so that its error comes before those of combinations."""
        others = {"num_beams": MOST_BEAMS, "do_sample": True} if name == "num_return_sequences" else {}
        cls(**{**others, name: value})

    @classmethod
    def _check_type(cls, name: str, value: Any) -> None:
        try:
            cls._check_alone(name, value)
        except TypeError:
            raise
        except ValueError:
            return  # out of range, and not used

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The end-of-sequence ids as a tuple, empty for none."""
        if self.eos_token_id is None:
            return ()
        return self.eos_token_id if isinstance(self.eos_token_id, tuple) else (self.eos_token_id,)

    @property
    def extra(self) -> dict[str, Any]:
        """Keys of a file beyond the fields; they are written back."""
        return self._extra

    @property
    def implied(self) -> frozenset[str]:
        """Fields that no file and no caller has set, and that give way where they don't fit a model's context."""
        return self._implied

    def set_fields(self) -> dict[str, Any]:
        """Return the fields that were set, in the order of the class."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    # Files ----------------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], whose: str = GENERATION_FILE) -> GenerationConfig:
        """Return the settings that a file holds; raise nothing for what a caller could not have typed.

        None and ids of -1 mean that nothing is set. Keys that are no options, and values that are none here, are kept
        in :attr:`extra`; a warning names those that would change the text.

        Args:
            data: The file's contents.
            whose: The file's name, for the warning.
        """
        known: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        ignored = []
        for key, value in data.items():
            name = _OTHER_NAMES.get(key, key)
            if name not in cls.model_fields:
                rest[key] = value
                found = UNSUPPORTED.get(key)
                if value is not None and found is not None and found.changes_text and value not in found.off:
                    ignored.append(f"{key}={shown(value, 60)}")
                continue
            if name in ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id"):
                value = _usable_ids(value)
            if value is None:
                continue
            try:
                cls._check_alone(name, value)
            except (ValueError, TypeError, NotImplementedError):
                rest[key] = value
                ignored.append(f"{key}={shown(value, 60)}")
            else:
                known[name] = value
        if known.get("max_new_tokens") is not None:
            known.pop("max_length", None)
        if ignored:
            warnings.warn(f"{whose}: ignored {', '.join(ignored)}", UserWarning, stacklevel=callers_level())
        for low, high in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
            if known.get(low, 0) > (known.get(high) or known.get(low, 0)):
                known[low] = known[high]
        if known.get("num_return_sequences", 1) > known.get("num_beams", 1) and not known.get("do_sample", False):
            known.pop("num_return_sequences")
        config = cls(**known)
        config._extra = rest
        return config

    @classmethod
    def from_model_config(cls, config: PretrainedConfig | Mapping[str, Any]) -> GenerationConfig:
        """Return the generation settings among a model configuration's fields.

        Args:
            config: A configuration, whose defaults count, or the contents of a ``config.json``, of which only what is
                there does. MindFormers' ``max_decode_length`` is ``max_length``.
        """
        names = [name for name in cls.model_fields if name != "max_length"]
        if isinstance(config, Mapping):
            data = {name: config[name] for name in names if name in config}
            longest = config.get("max_decode_length", config.get("max_length"))
        else:
            data = {name: getattr(config, name) for name in names if getattr(config, name, None) is not None}
            longest = getattr(config, "max_decode_length", None)
        if longest is not None:
            data["max_length"] = longest
        return cls.from_dict(data, "config.json")

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None) -> GenerationConfig:
        """Return the generation settings of a checkpoint.

        Those of its ``generation_config.json``; without one, those that its ``config.json`` holds. A preset of the
        project has its family's defaults where its files say nothing.

        Raises:
            NotRegisteredError, FileMissingError, DownloadError, IntegrityError: As :class:`mf_core.AutoConfig`.
        """
        from ..checkpoint.locate import locate
        from .files import generation_config_of

        return generation_config_of(locate(name_or_path, revision))

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``generation_config.json`` into ``directory``, created if missing."""
        write_json(user_path(directory) / GENERATION_FILE, self.to_file_dict())

    def to_file_dict(self) -> dict[str, Any]:
        """Return what ``generation_config.json`` gets: the fields that were set, and :attr:`extra`."""
        data = json.loads(self.model_dump_json(include=self.model_fields_set - self._implied))
        if "stop" in data:
            data["stop_strings"] = data.pop("stop")
        return {**self._extra, **{name: value for name, value in data.items() if value is not None}}

    def __repr__(self) -> str:
        version = metadata.version("mf-framework")
        fields = {name: info.default for name, info in type(self).model_fields.items()}
        data = json.loads(self.model_dump_json())
        changed = {name: data[name] for name, default in fields.items() if getattr(self, name) != default}
        text = json.dumps({**self._extra, **changed, "mf_framework_version": version}, indent=2, ensure_ascii=False)
        return f"{type(self).__name__} {text}\n"

    __str__ = __repr__


#: Options that mean something only when sampling.
SAMPLING = tuple(name for name, info in GenerationConfig.model_fields.items() if extra(info).get("sampling"))


def _usable_ids(value: Any) -> Any:
    """Return ids of a file without those below 0, which mean that there is none; None where none is left."""
    if isinstance(value, list):
        return tuple(i for i in value if not (isinstance(i, int) and i < 0)) or None
    return None if isinstance(value, int) and not isinstance(value, bool) and value < 0 else value
