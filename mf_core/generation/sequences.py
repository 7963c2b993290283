"""Sequences in the making: what is asked for, what there is of it, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import ArgumentError, InputTooLongError
from .config import GenerationConfig
from .logits import Logits, Sampler, build_processors, log_softmax

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

FinishReason = Literal["eos", "length", "stop"]


@dataclass
class Continuation:
    """One continuation in the making.

    Attributes:
        prompt: Number of ids of the prompt.
        ids: Prompt and continuation.
        limit: Most ids in all.
        number: Which of the continuations of its prompt it is, from 0; each draws in its own way.
        score: Sum of the log-probabilities that the model itself gave the continuation's tokens, where asked for.
        finished: Why it ended; None while it has not.
    """

    prompt: int
    ids: list[int]
    limit: int
    number: int = 0
    score: float = 0.0
    finished: FinishReason | None = None


class Writer:
    """Extends a continuation by tokens that are chosen from a model's logits.

    Args:
        sequence: Changed in place.
        config: How to choose. Equal seeds give a prompt the same tokens, whatever else is generated.
        stop: Asked after each token whether the sequence ends here.
        scored: Whether to add up the log-probabilities, which takes a pass over all logits.
    """

    def __init__(
        self,
        sequence: Continuation,
        config: GenerationConfig,
        stop: Callable[[Continuation], bool] | None,
        scored: bool,
    ) -> None:
        self.sequence = sequence
        self._eos_ids, self._stop, self._scored = config.eos_ids, stop, scored
        self._processors = build_processors(config, [sequence.prompt])
        seed = None if config.seed is None else np.random.SeedSequence(config.seed, spawn_key=(sequence.number,))
        self._sampler = Sampler(config.do_sample, [seed])

    def extend(self, logits: Logits) -> int:
        """Choose a token by the logits after the last one, ``(V,)``, append it and return it."""
        sequence = self.sequence
        index = self.choose(sequence.ids, logits, self._sampler)
        sequence.ids.append(index)
        if self._scored:
            sequence.score += float(log_softmax(logits)[index])
        if index in self._eos_ids:
            sequence.finished = "eos"
        elif self._stop is not None and self._stop(sequence):
            sequence.finished = "stop"
        elif len(sequence.ids) >= sequence.limit:
            sequence.finished = "length"
        return index

    def choose(self, ids: list[int], logits: Logits, sampler: Sampler) -> int:
        """Return the token that follows ``ids`` by these logits, ``(V,)``."""
        processed = logits[None]
        for processor in self._processors:
            processed = processor([ids], processed)
        return int(sampler(processed)[0])

    def ahead(self) -> Sampler:
        """Return a sampler that draws what :meth:`extend` will draw."""
        return self._sampler.ahead()


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many ids both begin with."""
    for place, (index, beside) in enumerate(zip(one, other, strict=False)):
        if index != beside:
            return place
    return min(len(one), len(other))


def prepare(model: PretrainedModel, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> list[Continuation]:
    """Check prompts against the vocabulary and the limits; return ``num_return_sequences`` sequences for each.

    Raises:
        ArgumentError: A prompt is empty or has an id outside the vocabulary.
        InputTooLongError: A prompt leaves no room, or less than ``max_new_tokens`` ask for.
    """
    context = model.max_positions
    vocab = int(model.config.vocab_size)
    result = []
    for row, prompt in enumerate(prompts):
        ids = [int(index) for index in prompt]
        if not ids:
            raise ArgumentError(f"prompt {row} is empty", value=prompts[row], hint="give at least one token")
        outside = [index for index in ids if not 0 <= index < vocab]
        if outside:
            raise ArgumentError(
                f"prompt {row} has the id {outside[0]}; the vocabulary has {vocab} entries", value=outside[0],
                hint="is the tokenizer the model's own?",
            )
        if len(ids) >= context:
            raise InputTooLongError(
                f"prompt {row} has {len(ids)} tokens; the model's context is {context}, prompt and continuation "
                "together", value=len(ids), hint="shorten the prompt",
            )
        if config.max_new_tokens is not None:
            limit = len(ids) + config.max_new_tokens
            if limit > context:
                raise InputTooLongError(
                    f"prompt {row} has {len(ids)} tokens, and {config.max_new_tokens} new ones exceed the context "
                    f"of {context}", value=config.max_new_tokens, hint=f"max_new_tokens may be {context - len(ids)}",
                )
        else:
            limit = min(config.max_length or context, context)
            if len(ids) >= limit:
                raise InputTooLongError(
                    f"prompt {row} has {len(ids)} tokens; max_length={limit} counts the prompt, so nothing is left",
                    value=len(ids), hint="raise max_length, or give max_new_tokens, which does not count the prompt",
                )
        result += [
            Continuation(len(ids), list(ids), limit, number) for number in range(config.num_return_sequences)
        ]
    return result
