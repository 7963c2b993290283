"""The settings of one call to ``generate``, checked where they come in."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError, did_you_mean

#: Keywords that mean something only when sampling.
SAMPLING_KEYWORDS = ("temperature", "top_k", "top_p", "seed")

_FLOATS = ("temperature", "top_p", "repetition_penalty")
_OPTIONAL = ("max_length", "max_new_tokens", "eos_token_id", "pad_token_id", "seed", "prompt_lookup_num_tokens")
_AT_LEAST = {
    "max_length": 1,
    "max_new_tokens": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "top_k": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "pad_token_id": 0,
    "seed": 0,
    "prompt_lookup_num_tokens": 1,
    "num_assistant_tokens": 1,
}
_GREEDY = "do_sample=False, which always takes the most likely token"


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How to generate. Values are checked and normalised (numpy scalars to Python's, lists to tuples) when it is made.

    Attributes:
        max_length: Most tokens in prompt and continuation together. Not together with ``max_new_tokens``.
        max_new_tokens: Most tokens in the continuation.
        min_length: No end-of-sequence id before prompt and continuation have this many tokens.
        min_new_tokens: No end-of-sequence id before the continuation has this many tokens.
        do_sample: Draw from the distribution; False takes the most likely token, and ignores temperature, top_k, top_p.
        temperature: Divides the logits; > 0 (1e-30 to 1e30).
        top_k: Keep the k most likely tokens; 0 is off.
        top_p: Keep the smallest set of likely tokens whose probabilities reach ``top_p``; in (0, 1], 1 is off.
        repetition_penalty: > 1 makes tokens of the prompt and continuation less likely to come again; > 0, 1 is off.
        num_beams: 1: this version has no beam search.
        num_return_sequences: Continuations for each prompt; more than 1 needs sampling.
        eos_token_id: The id or ids that end a sequence; None for none.
        pad_token_id: Of the model; it changes nothing, since what stands in for padding is seen by nobody.
        stop: Strings that end a sequence; a single string is accepted.
        seed: Of the draws; None draws afresh on every call.
        prompt_lookup_num_tokens: Propose so many tokens a step, those that followed when the text's last ones came
            before; the model takes what it would draw itself, so that the text is the same, and comes faster where it
            repeats the prompt or itself. 7 cost little more than none. None: propose nothing.
        num_assistant_tokens: At most so many tokens a step are proposed by ``assistant_model``, where one is given:
            fewer while it is often wrong. More than 7 are costly on a CPU.

    Raises:
        ArgumentTypeError: A value has the wrong type. A bool is not an int here.
        ArgumentError: A value is out of range, or two contradict each other.
        UnsupportedError: ``num_beams`` is more than 1.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int = 0
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    num_return_sequences: int = 1
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    prompt_lookup_num_tokens: int | None = None
    num_assistant_tokens: int = 7

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _typed(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            _check_range(field.name, value)
        self._check_together()

    @classmethod
    def from_kwargs(cls, defaults: Mapping[str, Any], **kwargs: Any) -> GenerationConfig:
        """Return ``defaults`` (a model's own settings) overridden by ``kwargs`` (what the caller typed).

        A sampling keyword (``temperature``, ``top_k``, ``top_p``, ``seed``) given without ``do_sample`` turns sampling
        on, whatever the defaults say. Given with ``do_sample=False`` it is left out, with a ``UserWarning``.
        ``max_length`` replaces a default ``max_new_tokens``, and the other way round. None unsets a limit, an id or
        the seed.

        Raises:
            ArgumentError: A keyword is unknown (close names are in the hint), or as for the class.
        """
        for name in (*kwargs, *defaults):
            if name not in _NAMES:
                raise ArgumentError(
                    f"generation has no argument {name!r}",
                    value=name,
                    hint=did_you_mean(name, _NAMES) or f"one of {', '.join(_NAMES)}",
                )
        given = {name: _typed(name, value) for name, value in kwargs.items()}
        merged = dict(defaults)
        for name, other in (("max_length", "max_new_tokens"), ("max_new_tokens", "max_length")):
            if given.get(name) is not None and given.get(other) is None:
                merged.pop(other, None)

        sampling = [name for name in SAMPLING_KEYWORDS if given.get(name) is not None]
        if sampling and "do_sample" not in given:
            given["do_sample"] = True
        elif sampling and not given["do_sample"]:
            ignored = ", ".join(f"{name}={given.pop(name)!r}" for name in sampling)
            # Both ways here, a model's generate and a pipeline's call, have one function between.
            warnings.warn(f"do_sample=False: ignored {ignored}", UserWarning, stacklevel=4)
        return cls(**(merged | given))

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The end-of-sequence ids as a tuple, empty for none."""
        if self.eos_token_id is None:
            return ()
        return self.eos_token_id if isinstance(self.eos_token_id, tuple) else (self.eos_token_id,)

    def _check_together(self) -> None:
        if self.num_beams > 1:
            raise UnsupportedError(
                f"num_beams={self.num_beams}: beam search isn't in this version",
                value=self.num_beams,
                hint="num_beams=1",
            )
        if self.max_length is not None and self.max_new_tokens is not None:
            raise ArgumentError(
                f"both max_length={self.max_length} and max_new_tokens={self.max_new_tokens} are given",
                value=(self.max_length, self.max_new_tokens),
                why="max_length counts the prompt, max_new_tokens does not",
                hint="give one of them",
            )
        for low, high in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
            least, most = getattr(self, low), getattr(self, high)
            if most is not None and least > most:
                raise ArgumentError(f"{low}={least} is more than {high}={most}", value=least)
        if self.num_return_sequences > 1 and not self.do_sample:
            raise ArgumentError(
                f"num_return_sequences={self.num_return_sequences} with do_sample=False",
                value=self.num_return_sequences,
                why="without sampling all the texts would be identical",
                hint="do_sample=True",
            )


_NAMES = tuple(field.name for field in fields(GenerationConfig))


def _typed(name: str, value: Any) -> Any:
    """Return ``value`` as the Python type of field ``name``, or raise ArgumentTypeError."""
    if value is None and name in _OPTIONAL:
        return None
    if name == "do_sample":
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        expected = "a bool"
    elif name == "stop":
        if isinstance(value, str):
            return (value,)
        if isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
            return tuple(value)
        expected = "a str or a tuple of str"
    elif name in _FLOATS:
        if isinstance(value, Real) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:  # an int beyond the largest float
                return -math.inf if value < 0 else math.inf
        expected = "a float"
    elif name == "eos_token_id" and isinstance(value, (list, tuple)):
        if all(_is_int(each) for each in value):
            return tuple(int(each) for each in value) or None
        expected = "an int, a tuple of ints or None"
    else:
        if _is_int(value):
            return int(value)
        tuple_too = ", a tuple of ints" if name == "eos_token_id" else ""
        expected = f"an int{tuple_too}{' or None' if name in _OPTIONAL else ''}"
    raise ArgumentTypeError(f"{name}={value!r} is of type {type(value).__name__}, expected {expected}", value=value)


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_range(name: str, value: Any) -> None:
    """Raise ArgumentError where ``value``, of the right type, is out of field ``name``'s range."""
    if value is None:
        return
    limit, hint = None, None
    if name in _AT_LEAST:
        if value < _AT_LEAST[name]:
            limit = f"at least {_AT_LEAST[name]}"
    elif name == "eos_token_id":
        if min(value if isinstance(value, tuple) else (value,)) < 0:
            limit, hint = "at least 0", "eos_token_id=None to go on to the length limit"
    elif name == "top_p":
        if not 0 < value <= 1:
            limit, hint = "in (0, 1]", _GREEDY if value == 0 else None
    elif name in _FLOATS:
        if not (0 < value < math.inf):
            limit = "finite and more than 0"
            hint = _GREEDY if name == "temperature" and value == 0 else None
        elif not 1e-30 <= value <= 1e30:
            limit = "between 1e-30 and 1e30, or float32 logits overflow"
            hint = _GREEDY if name == "temperature" and value < 1 else None
    elif name == "stop" and "" in value:
        limit, hint = "of non-empty strings", "stop=() for none"
    if limit:
        raise ArgumentError(f"{name}={value!r} must be {limit}", value=value, hint=hint)
