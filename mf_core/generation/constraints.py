"""Options that forbid or force tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from .logits import FORBIDDEN, History, Logits
from .options import Build, Id, Ids, IdSequences, Options, option
from .penalties import SequenceBias


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Constraints(Options):
    """Options that force or forbid tokens."""

    bad_words_ids: IdSequences | None = option(
        None, "Sequences of ids that never come: the token that would complete one is forbidden.", ids=True
    )
    min_length: int = option(0, "No end-of-sequence id before prompt and continuation have this many tokens.", ge=0)
    min_new_tokens: int = option(0, "No end-of-sequence id before the continuation has this many tokens.", ge=0)
    forced_bos_token_id: Id | None = option(None, "The token after a prompt of one token.", ids=True)
    forced_eos_token_id: Annotated[Id | tuple[Id, ...] | None, BeforeValidator(_pair)] = option(
        None, "The last token at the length limit: an id, or several that may be.", ids=True
    )
    remove_invalid_values: bool = option(False, "Take NaN for 0 and infinite logits for the largest number.")
    exponential_decay_length_penalty: Annotated[
        tuple[Annotated[int, Field(ge=0)], Annotated[float, Field(gt=0)]] | None, BeforeValidator(_pair)
    ] = option(
        None, "(start, factor): from so many new tokens on, the end becomes more likely by factor ** n.",
        form="a pair of an int of at least 0 and a float of more than 0",
    )  # fmt: skip
    suppress_tokens: Ids | None = option(None, "Ids that never come.", ids=True)
    begin_suppress_tokens: Ids | None = option(None, "Ids that don't come first.", ids=True)

    constraint_processors: ClassVar[Sequence[Build]] = (
        lambda c, rows: bad_words(c.bad_words_ids, c.eos_ids) if c.bad_words_ids else None,
        lambda c, rows: MinLength(c.min_length, c.eos_ids) if c.min_length and c.eos_ids else None,
        lambda c, rows: (
            MinNewTokens(c.min_new_tokens, c.eos_ids, rows.prompts) if c.min_new_tokens and c.eos_ids else None
        ),
        lambda c, rows: (
            None if c.forced_bos_token_id is None else Forced((c.forced_bos_token_id,), (1,) * len(rows.prompts))
        ),
        lambda c, rows: (
            None if c.forced_eos_token_id is None
            else Forced(_ids(c.forced_eos_token_id), tuple(limit - 1 for limit in rows.limits))
        ),
        lambda c, rows: RemoveInvalid() if c.remove_invalid_values else None,
        lambda c, rows: (
            EndMoreLikely(c.exponential_decay_length_penalty, c.eos_ids, rows.prompts)
            if c.exponential_decay_length_penalty and c.eos_ids else None
        ),
        lambda c, rows: Suppress(c.suppress_tokens) if c.suppress_tokens else None,
        lambda c, rows: (
            Suppress(c.begin_suppress_tokens, tuple(_begin(c, prompt) for prompt in rows.prompts))
            if c.begin_suppress_tokens else None
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class MinLength:
    """Forbids ``eos_ids`` in rows of fewer than ``min_length`` ids, prompt included. ``MinLengthLogitsProcessor``."""

    min_length: int
    eos_ids: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        return _forbid(logits, self.eos_ids, [len(ids) < self.min_length for ids in history])


@dataclass(frozen=True)
class MinNewTokens:
    """Forbids ``eos_ids`` in rows with fewer than ``min_new_tokens`` ids after the prompt.

    ``prompt_lengths`` has one entry for each row. ``MinNewTokensLengthLogitsProcessor``.
    """

    min_new_tokens: int
    eos_ids: tuple[int, ...]
    prompt_lengths: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        new = (len(ids) - prompt for ids, prompt in zip(history, self.prompt_lengths, strict=True))
        return _forbid(logits, self.eos_ids, [count < self.min_new_tokens for count in new])


@dataclass(frozen=True)
class Forced:
    """Leaves only ``ids`` in rows whose length is the one given. ``Forced{BOS,EOS}TokenLogitsProcessor``."""

    ids: tuple[int, ...]
    lengths: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        rows = [len(ids) == length for ids, length in zip(history, self.lengths, strict=True)]
        if not any(rows):
            return logits
        out = logits.copy()
        for row in np.flatnonzero(rows):
            out[row] = FORBIDDEN
            out[row, [index for index in self.ids if index < logits.shape[-1]]] = 0
        return out


@dataclass(frozen=True)
class RemoveInvalid:
    """Replaces NaN by 0 and infinite logits by the largest finite ones. ``InfNanRemoveLogitsProcessor``."""

    def __call__(self, history: History, logits: Logits) -> Logits:
        largest = np.finfo(np.float32).max
        finite: Logits = np.nan_to_num(logits, nan=0.0, posinf=float(largest), neginf=float(-largest))
        return finite


@dataclass(frozen=True)
class EndMoreLikely:
    """Adds ``|logit| * (factor ** n - 1)`` to the end ids' logits, n tokens after the ``start``-th new one.

    ``penalty`` is ``(start, factor)``.

    ``ExponentialDecayLengthPenalty``.
    """

    penalty: tuple[int, float]
    eos_ids: tuple[int, ...]
    prompts: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = logits.copy()
        start, factor = self.penalty
        ends = [index for index in self.eos_ids if index < logits.shape[-1]]
        for row, ids, prompt in zip(out, history, self.prompts, strict=True):
            beyond = len(ids) - prompt - start
            if beyond > 0:
                values = row[ends]
                growth = np.float32(min(factor**beyond - 1, float(np.finfo(np.float32).max)))
                row[ends] = np.where(np.isfinite(values), values + np.abs(values) * growth, values)
        return out


@dataclass(frozen=True)
class Suppress:
    """Forbids ``ids``: everywhere, or in rows of the given lengths. ``SuppressTokens[AtBegin]LogitsProcessor``."""

    ids: tuple[int, ...]
    lengths: tuple[int, ...] | None = None

    def __call__(self, history: History, logits: Logits) -> Logits:
        lengths = self.lengths or (None,) * len(history)
        return _forbid(logits, self.ids, [n is None or len(ids) == n for ids, n in zip(history, lengths, strict=True)])


def bad_words(sequences: Sequence[tuple[int, ...]], eos_ids: tuple[int, ...]) -> SequenceBias | None:
    """Return what forbids sequences, but for the end ids themselves. ``NoBadWordsLogitsProcessor``."""
    kept = [ids for ids in sequences if ids and not (len(ids) == 1 and ids[0] in eos_ids)]
    return SequenceBias(tuple((ids, float("-inf")) for ids in kept)) if kept else None


def _begin(config: Any, prompt: int) -> int:
    """Return the length at which a row's first free token comes."""
    return prompt if prompt > 1 or config.forced_bos_token_id is None else prompt + 1


def _ids(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _forbid(logits: Logits, ids: tuple[int, ...], rows: list[bool]) -> Logits:
    """Return ``logits`` with ``ids`` at -inf in the rows marked True."""
    if not any(rows):
        return logits
    out = logits.copy()
    inside = [index for index in ids if 0 <= index < logits.shape[-1]]  # by Python: an id may be too large for NumPy
    for row in np.flatnonzero(rows):
        out[row, inside] = FORBIDDEN
    return out
