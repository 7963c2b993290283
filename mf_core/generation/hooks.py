"""Hooks of a call: the caller's functions, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, CallbackError, MFError, describe
from .logits import History, Logits

if TYPE_CHECKING:
    from .structured import Structure

#: Most alternatives that are recorded for a token.
MOST_ALTERNATIVES = 100


@dataclass(frozen=True)
class TokenLogprob:
    """The model's own log-probability of a chosen token, before any option changed the logits.

    Attributes:
        id: The token's id.
        logprob: Its log-probability.
        top: The most likely ids and their log-probabilities, the likeliest first.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class NewToken:
    """What callbacks are given for each new token.

    Attributes:
        prompt: Number of its prompt.
        number: Which of the prompt's continuations it belongs to.
        id: The token's id.
        logprob: Its log-probability, where ``return_scores`` or ``logprobs`` ask for it.
        finish_reason: Why the text ends with it; None where it continues.
    """

    prompt: int
    number: int
    id: int
    logprob: float | None
    finish_reason: str | None


@dataclass(frozen=True)
class Hooks:
    """The caller's functions, and what is recorded.

    Attributes:
        processors: Further logits processors; each gets ``(ids, logits)``, arrays of shape ``(rows, length)`` int64 and
            ``(rows, vocabulary)`` fp32, and returns logits.
        criteria: Functions of the same arguments that return whether a text ends.
        callbacks: Functions of a :class:`NewToken`.
        scored: Whether to add up log-probabilities, which takes a pass over all logits.
        logprobs: Record each token's log-probability with so many alternatives; None: don't.
        structure: What the texts are to be like; None: anything.
    """

    processors: tuple[Callable[..., Any], ...] = ()
    criteria: tuple[Callable[..., Any], ...] = ()
    callbacks: tuple[Callable[[NewToken], Any], ...] = ()
    scored: bool = False
    logprobs: int | None = None
    structure: Structure | None = None
    wrapped: tuple[CustomProcessor, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "wrapped", tuple(map(CustomProcessor, self.processors)))

    @classmethod
    def of(
        cls,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        callbacks: Any = None,
        scored: Any = False,
        logprobs: Any = None,
    ) -> Hooks:
        """Return hooks made of a call's arguments, which are checked.

        Raises:
            ArgumentTypeError: One is no callable or list of callables.
            ArgumentError: ``logprobs`` is no number of alternatives.
        """
        if logprobs is not None:
            if isinstance(logprobs, bool) or not isinstance(logprobs, (int, np.integer)):
                raise ArgumentTypeError(f"logprobs={logprobs!r} is not a number of alternatives", value=logprobs)
            if not 0 <= logprobs <= MOST_ALTERNATIVES:
                raise ArgumentError(f"logprobs={logprobs} must be between 0 and {MOST_ALTERNATIVES}", value=logprobs)
        return cls(
            _callables("logits_processor", logits_processor), _callables("stopping_criteria", stopping_criteria),
            _callables("callbacks", callbacks), bool(scored), None if logprobs is None else int(logprobs),
        )  # fmt: skip

    def ends(self, ids: Sequence[int], logits: Logits) -> bool:
        """Return whether one of the criteria ends the text ``ids``, whose last token was chosen by ``logits``."""
        array = np.asarray([ids], dtype=np.int64)
        return any(_as_bool(one, _call("stopping_criteria", one, array, logits[None])) for one in self.criteria)

    def announce(self, token: NewToken) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            _call("callbacks", callback, token)


class CustomProcessor:
    """A logits processor of the caller's, whose errors are distinguished from those of the library.

    Args:
        function: Called with ids and logits; returns logits.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, history: History, logits: Logits) -> Logits:
        """Return the logits that the function makes of a copy of ``logits``."""
        name = _name(self._function)
        result = _call("logits_processor", self._function, np.asarray(history, dtype=np.int64), logits.copy())
        try:
            out = np.asarray(result, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise CallbackError(
                f"the logits_processor {name} returned a {type(result).__name__}", value=result,
                hint=f"return an array of the shape {logits.shape}",
            ) from error  # fmt: skip
        if out.shape != logits.shape:
            raise CallbackError(
                f"the logits_processor {name} returned an array of the shape {out.shape}", value=out.shape,
                hint=f"return the logits that it was given, of the shape {logits.shape}, changed",
            )  # fmt: skip
        if np.isnan(out).any():
            raise CallbackError(f"the logits_processor {name} returned NaN", value=name)
        return out


def _callables(name: str, value: Any) -> tuple[Callable[..., Any], ...]:
    functions = () if value is None else (value,) if callable(value) else value
    if not isinstance(functions, (list, tuple)) or not all(map(callable, functions)):
        raise ArgumentTypeError(f"{name}={value!r:.80} is no function or list of functions", value=value)
    return tuple(functions)


def _call(role: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except MFError:
        raise
    except Exception as error:
        raise CallbackError(
            f"{role}: {_name(function)} raised {describe(error)}", value=error,
            why="the function was passed to the call, and is not the library's",
        ) from error  # fmt: skip


def _as_bool(function: Callable[..., Any], result: Any) -> bool:
    """Return what a stopping criterion says of its only row: a bool, or an array or tensor of one."""
    try:
        array = np.asarray(result)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise CallbackError(
            f"the stopping_criteria {_name(function)} returned {result!r:.80}", value=result,
            hint="return True where the text ends, and False where it goes on",
        )
    return bool(array)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
