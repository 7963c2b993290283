"""Options that raise or lower the logits of single tokens and sequences, such as those that came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from .logits import FORBIDDEN, History, Logits, in_vocabulary
from .options import Build, Id, Options, option

Biases = tuple[tuple[tuple[int, ...], float], ...]


def _pairs(value: Any) -> Any:
    """Return sequences with their biases as a tuple of pairs, from a dict or a list of pairs."""
    if isinstance(value, dict):
        value = list(value.items())
    if not isinstance(value, (list, tuple)):
        return value
    pairs = []
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError("is no list of pairs")
        ids, bias = pair
        pairs.append((tuple(ids) if isinstance(ids, (list, tuple)) else ids, bias))
    return tuple(pairs)


def _by_id(value: Any) -> Any:
    """Return a dict whose keys are ints, which JSON has as strings."""
    if not isinstance(value, dict):
        return value
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: bias for key, bias in value.items()}


class Penalties(Options):
    """Options that change logits by amounts. Ids outside the vocabulary are errors of the call that gives them."""

    sequence_bias: Annotated[
        tuple[tuple[Annotated[tuple[Id, ...], Field(min_length=1)], float], ...] | None, BeforeValidator(_pairs)
    ] = option(
        None, "Added to the logit of the token that would complete a sequence: {(id, …): bias} or [[[id, …], bias]].",
        ids=True, form="a dict from tuples of ids to floats, or a list of [[id, …], bias]",
    )  # fmt: skip
    logit_bias: Annotated[dict[Id, float] | None, BeforeValidator(_by_id)] = option(
        None, "Added to the logits of single tokens: {id: bias}, as OpenAI's API has it.", ids=True,
        form="a dict from ids to floats",
    )  # fmt: skip
    repetition_penalty: float = option(
        1.0, "More than 1 makes tokens of the prompt and continuation less likely to come again; 1 is off.",
        ge=1e-30, le=1e30,
    )  # fmt: skip
    presence_penalty: float = option(
        0.0, "Taken off the logits of tokens that the continuation has, as OpenAI's API has it.", ge=-100, le=100
    )
    frequency_penalty: float = option(
        0.0, "Taken off a token's logit for each time that the continuation has it, as OpenAI's API has it.",
        ge=-100, le=100,
    )  # fmt: skip
    no_repeat_ngram_size: int = option(
        0, "No sequence of so many tokens comes twice, the prompt included; 0 is off.", ge=0
    )

    penalty_processors: ClassVar[Sequence[Build]] = (
        lambda c, rows: SequenceBias(c.sequence_bias) if c.sequence_bias else None,
        lambda c, rows: SequenceBias(tuple(((i,), b) for i, b in c.logit_bias.items())) if c.logit_bias else None,
        lambda c, rows: RepetitionPenalty(c.repetition_penalty) if c.repetition_penalty != 1 else None,
        lambda c, rows: (
            CountPenalty(c.presence_penalty, c.frequency_penalty, rows.prompts)
            if c.presence_penalty or c.frequency_penalty else None
        ),
        lambda c, rows: NoRepeatNgram(c.no_repeat_ngram_size) if c.no_repeat_ngram_size > 0 else None,
    )  # fmt: skip


@dataclass(frozen=True)
class SequenceBias:
    """Adds to the logits of tokens, or of those that would complete a sequence. ``SequenceBiasLogitsProcessor``."""

    biases: Biases
    _single: dict[int, NDArray[np.float32]] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, history: History, logits: Logits) -> Logits:
        vocab = logits.shape[-1]
        if vocab not in self._single:
            single = np.zeros(vocab, np.float32)
            for sequence, bias in self.biases:
                if len(sequence) == 1 and sequence[0] < vocab:
                    single[sequence[0]] = bias
            self._single[vocab] = single
        out = logits + self._single[vocab]
        for row, ids in zip(out, history, strict=True):
            for sequence, bias in self.biases:
                size, last = len(sequence) - 1, sequence[-1]
                if 0 < size <= len(ids) and last < vocab and tuple(ids[-size:]) == sequence[:-1]:
                    row[last] += np.float32(bias)
        return out


@dataclass(frozen=True)
class RepetitionPenalty:
    """Divides positive logits of ids already in the row by ``penalty``, multiplies negative ones; once per id.

    Ids outside the vocabulary are ignored. ``RepetitionPenaltyLogitsProcessor``; Keskar et al. 2019, section 4.1.
    """

    penalty: float

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = logits.copy()
        for row, ids in zip(out, history, strict=True):
            seen = in_vocabulary(ids, row.size)
            row[seen] = np.where(row[seen] < 0, row[seen] * self.penalty, row[seen] / self.penalty)
        return out


@dataclass(frozen=True)
class CountPenalty:
    """Takes ``presence`` off the logits of tokens that the continuation has, and ``frequency`` for each time.

    The prompt does not count. OpenAI's API reference, "Frequency and presence penalties".
    """

    presence: float
    frequency: float
    prompts: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = logits.copy()
        for row, ids, prompt in zip(out, history, self.prompts, strict=True):
            seen, counts = np.unique(in_vocabulary(ids[prompt:], row.size), return_counts=True)
            row[seen] -= np.float32(self.presence) + np.float32(self.frequency) * counts.astype(np.float32)
        return out


@dataclass(frozen=True)
class NoRepeatNgram:
    """Forbids tokens that would complete a sequence of ``size`` again. ``NoRepeatNGramLogitsProcessor``."""

    size: int

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = logits.copy()
        for row, ids in zip(out, history, strict=True):
            array = np.asarray(ids, dtype=np.int64)
            if len(array) < self.size:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(array, self.size)
            again = (windows[:, :-1] == array[len(array) - self.size + 1 :]).all(axis=1)
            row[in_vocabulary(windows[again, -1], row.size)] = FORBIDDEN
        return out
