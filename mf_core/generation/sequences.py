"""Continuations in progress: the limits, the tokens so far, and the finish reason."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import ArgumentError, InputTooLongError
from ..utils.callers import callers_level
from .config import GenerationConfig
from .hooks import Hooks, NewToken, TokenLogprob
from .logits import Logits, LogitsProcessor, Sampler, log_softmax
from .processors import build_processors

if TYPE_CHECKING:
    from ..models.base import PretrainedModel
    from .text import TextFollower

FinishReason = Literal["eos", "length", "stop"]


@dataclass
class Continuation:
    """One continuation in progress.

    Attributes:
        prompt: Number of ids of the prompt; with an encoder, of what the decoder begins with.
        source: What the encoder reads; empty for a model without one.
        ids: Prompt and continuation.
        limit: Most ids in all.
        number: Which of the continuations of its prompt it is, from 0; each draws in its own way.
        row: Number of the prompt.
        score: Sum of the log-probabilities that the model itself gave the continuation's tokens, where asked for; with
            beams, that by which texts were compared.
        logprobs: What the model thought of each new token, where asked for.
        follower: Its text, where stop strings or streams need it.
        finished: Why it ended; None while it has not.
    """

    prompt: int
    ids: list[int]
    limit: int
    number: int = 0
    row: int = 0
    score: float = 0.0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    follower: TextFollower | None = None
    finished: FinishReason | None = None
    source: tuple[int, ...] = ()


class Writer:
    """Extends a continuation by tokens that are chosen from a model's logits.

    Args:
        sequence: Changed in place.
        config: How to choose. Equal seeds give a prompt the same tokens, whatever else is generated.
        hooks: The caller's functions, and what to record.
    """

    def __init__(self, sequence: Continuation, config: GenerationConfig, hooks: Hooks | None = None) -> None:
        self.sequence = sequence
        self._hooks = hooks or Hooks()
        self._eos_ids, self._stop_ids = frozenset(config.eos_ids), frozenset(config.stop_token_ids)
        custom: Sequence[LogitsProcessor] = self._hooks.wrapped
        if self._hooks.structure is not None:
            custom = (*custom, self._hooks.structure.processor(sequence.prompt))
        self._processors = build_processors(config, [sequence.prompt], [sequence.limit], custom)
        seed = None if config.seed is None else np.random.SeedSequence(config.seed, spawn_key=(sequence.number,))
        self._sampler = Sampler(config.do_sample, [seed])

    def extend(self, logits: Logits) -> int:
        """Choose a token by the logits after the last one, ``(V,)``, append it and return it."""
        sequence = self.sequence
        index = self.choose(sequence.ids, logits, self._sampler)
        sequence.ids.append(index)
        logprob = None
        if self._hooks.scored or self._hooks.logprobs is not None:
            said = record(logits, index, self._hooks.logprobs or 0)
            logprob = said.logprob
            sequence.score += logprob
            if self._hooks.logprobs is not None:
                sequence.logprobs.append(said)
        sequence.finished = self._end(index, logits)
        if self._hooks.callbacks:
            self._hooks.announce(NewToken(sequence.row, sequence.number, index, logprob, sequence.finished))
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

    def _end(self, index: int, logits: Logits) -> FinishReason | None:
        sequence = self.sequence
        if index in self._stop_ids and index not in self._eos_ids:
            return "stop"  # the text ends before the token
        stopped = sequence.follower is not None and sequence.follower.push(index)
        if index in self._eos_ids:
            return "eos"
        if stopped or (self._hooks.criteria and self._hooks.ends(sequence.ids, logits)):
            return "stop"
        return "length" if len(sequence.ids) >= sequence.limit else None


def record(logits: Logits, index: int, alternatives: int) -> TokenLogprob:
    """Return the log-probability of a token by a model's own logits, ``(V,)``, with the most likely ones beside it."""
    logprobs = log_softmax(logits)
    count = min(alternatives, len(logprobs))
    best = np.argpartition(-logprobs, count - 1)[:count] if count else np.empty(0, np.int64)
    order = best[np.lexsort((best, -logprobs[best]))]
    return TokenLogprob(index, float(logprobs[index]), tuple((int(i), float(logprobs[i])) for i in order))


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many ids both begin with."""
    for position, (index, beside) in enumerate(zip(one, other, strict=False)):
        if index != beside:
            return position
    return min(len(one), len(other))


def prepare(model: PretrainedModel, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> list[Continuation]:
    """Check prompts against the vocabulary and the limits; return ``num_return_sequences`` sequences for each.

    Raises:
        ArgumentError: A prompt is empty or has an id outside the vocabulary.
        InputTooLongError: A prompt leaves no room, or less than ``max_new_tokens`` ask for.
    """
    context = model.max_positions
    vocab = int(model.config.vocab_size)
    if config.decoder_start_token_id is not None and not model.is_encoder_decoder:
        warnings.warn(
            f"decoder_start_token_id={config.decoder_start_token_id} is ignored: {type(model).__name__} has no encoder",
            stacklevel=callers_level(),
        )
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
            )  # fmt: skip
        if model.is_encoder_decoder:
            result += _of_source(model, row, ids, config)
            continue
        if len(ids) >= context:
            raise InputTooLongError(
                f"prompt {row} has {len(ids)} tokens; the model's context is {context}, prompt and continuation "
                "together", value=len(ids), hint="shorten the prompt",
            )  # fmt: skip
        limit = _limit(row, len(ids), context, config)
        result += [
            Continuation(len(ids), list(ids), limit, number, row) for number in range(config.num_return_sequences)
        ]
    return result


def _of_source(model: PretrainedModel, row: int, ids: list[int], config: GenerationConfig) -> list[Continuation]:
    """Return the continuations of the start token that answer to a prompt which an encoder reads."""
    context, start = model.max_positions, config.decoder_start_token_id
    if len(ids) > context:
        raise InputTooLongError(
            f"prompt {row} has {len(ids)} tokens; the encoder's context is {context}", value=len(ids),
            hint="shorten the prompt",
        )  # fmt: skip
    if start is None:
        raise ArgumentError(
            "decoder_start_token_id is not set, with which the decoder begins",
            hint="generate(…, decoder_start_token_id=…), or set it in the model's generation_config",
        )  # fmt: skip
    limit = _limit(row, 1, context, config)
    return [
        Continuation(1, [start], limit, number, row, source=tuple(ids)) for number in range(config.num_return_sequences)
    ]


def _limit(row: int, prompt: int, context: int, config: GenerationConfig) -> int:
    """Return the most ids that a prompt of so many may have with its continuation."""
    if config.max_new_tokens is not None:
        limit = prompt + config.max_new_tokens
        if limit > context and "max_new_tokens" not in config.implied:
            raise InputTooLongError(
                f"prompt {row} has {prompt} tokens, and {config.max_new_tokens} new ones exceed the context of "
                f"{context}", value=config.max_new_tokens, hint=f"max_new_tokens may be {context - prompt}",
            )  # fmt: skip
        return min(limit, context)
    limit = min(config.max_length or context, context)
    if prompt >= limit:
        raise InputTooLongError(
            f"prompt {row} has {prompt} tokens; max_length={limit} counts the prompt, so nothing is left",
            value=prompt, hint="raise max_length, or give max_new_tokens, which does not count the prompt",
        )  # fmt: skip
    return limit
