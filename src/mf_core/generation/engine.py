"""Generating tokens: one pass over the prompts, then one compiled step a token, over a static key-value cache.

Prompts of a batch are padded on the left, so the newest token of every row stands in the same place of the cache.
Shapes are rounded up (:func:`prompt_bucket`, :func:`cache_bucket`), so another prompt or length rarely compiles anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn

from ..errors import ArgumentError, ArgumentTypeError, InputTooLongError
from ..nn import ms_dtype
from . import graph_cache
from .cache import cache_bias, cache_slots
from .config import GenerationConfig
from .logits import Sampler, build_processors, log_softmax

if TYPE_CHECKING:
    from ..modeling import PretrainedModel

FinishReason = Literal["eos", "length", "stop"]

#: How many compiled shapes, each with its cache, a model keeps; the oldest goes first.
_KEPT_STEPS = 4

_lock = threading.Lock()


def prompt_bucket(length: int) -> int:
    """Return the length that prompts are padded to: the next power of two from 16 on."""
    return max(16, 1 << (length - 1).bit_length())


def cache_bucket(length: int) -> int:
    """Return the places of a cache for ``length`` tokens: 64, or the next multiple of 128."""
    return 64 if length <= 64 else -(-length // 128) * 128


class DecodeStep(nn.Cell):
    """A model with a cache of fixed size; each call puts tokens into it and gives the last one's logits.

    Args:
        model: Whose ``decode`` is called.
        batch: Rows, B.
        capacity: Places of a row, C.
    """

    def __init__(self, model: PretrainedModel, batch: int, capacity: int) -> None:
        super().__init__(auto_prefix=False)  # the model's parameters keep their names
        layers, heads, size = model.cache_shape
        self.model = model
        self.rows, self.capacity = batch * heads, capacity
        dtype = ms_dtype(model.compute_dtype)

        def caches(kind: str) -> ParameterTuple:
            return ParameterTuple([
                Parameter(ms.ops.zeros((self.rows * capacity, size), dtype), name=f"cache.{kind}.{layer}",
                          requires_grad=False)
                for layer in range(layers)
            ])  # fmt: skip

        self.keys, self.values = caches("key"), caches("value")
        self.set_train(False)

    @ms.jit
    def construct(self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, slots: Tensor) -> Tensor:
        """Return logits ``(B, V)``.

        Args:
            input_ids, position_ids: ``(B, S)`` int32.
            bias: ``(B, 1, S, C)``; see :func:`mf_core.generation.cache.cache_bias`.
            slots: ``(B * H * S,)`` int32; see :func:`mf_core.generation.cache.cache_slots`.
        """
        return self.model.decode(input_ids, position_ids, bias, slots, self.keys, self.values)


@contextmanager
def _step_for(model: PretrainedModel, batch: int, capacity: int) -> Iterator[DecodeStep]:
    """Lend a step to one run. Runs that overlap get steps, and so caches, of their own."""
    steps: dict[tuple[int, int], DecodeStep] = model.__dict__.setdefault("_decode_steps", {})
    with _lock:
        step = steps.pop((batch, capacity), None)
    if step is None:
        step = DecodeStep(model, batch, capacity)
    try:
        yield step
    finally:
        with _lock:
            steps[batch, capacity] = step
            while len(steps) > _KEPT_STEPS:
                del steps[next(iter(steps))]


@dataclass
class Continuation:
    """One continuation in the making.

    Attributes:
        prompt: Number of ids of the prompt.
        ids: Prompt and continuation.
        limit: Most ids in all.
        score: Sum of the log-probabilities that the model itself gave the continuation's tokens, where asked for.
        finished: Why it ended; None while it has not.
    """

    prompt: int
    ids: list[int]
    limit: int
    score: float = 0.0
    finished: FinishReason | None = None


def prepare(model: PretrainedModel, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> list[Continuation]:
    """Check prompts against the vocabulary and the limits; return ``num_return_sequences`` sequences for each.

    Raises:
        ArgumentError: A prompt is empty or has an id outside the vocabulary.
        InputTooLongError: A prompt leaves no room, or less than ``max_new_tokens`` ask for.
    """
    context = model.max_positions
    vocab = int(model.config.vocab_size)
    result = []
    for number, prompt in enumerate(prompts):
        ids = [int(index) for index in prompt]
        if not ids:
            raise ArgumentError(f"prompt {number} is empty", value=prompts[number], hint="give at least one token")
        outside = [index for index in ids if not 0 <= index < vocab]
        if outside:
            raise ArgumentError(
                f"prompt {number} has the id {outside[0]}; the vocabulary has {vocab} entries", value=outside[0],
                hint="is the tokenizer the model's own?",
            )
        if len(ids) >= context:
            raise InputTooLongError(
                f"prompt {number} has {len(ids)} tokens; the model's context is {context}, prompt and continuation "
                "together", value=len(ids), hint="shorten the prompt",
            )
        if config.max_new_tokens is not None:
            limit = len(ids) + config.max_new_tokens
            if limit > context:
                raise InputTooLongError(
                    f"prompt {number} has {len(ids)} tokens, and {config.max_new_tokens} new ones exceed the context "
                    f"of {context}", value=config.max_new_tokens, hint=f"max_new_tokens may be {context - len(ids)}",
                )
        else:
            limit = min(config.max_length or context, context)
            if len(ids) >= limit:
                raise InputTooLongError(
                    f"prompt {number} has {len(ids)} tokens; max_length={limit} counts the prompt, so nothing is left",
                    value=len(ids), hint="raise max_length, or give max_new_tokens, which does not count the prompt",
                )
        result += [Continuation(len(ids), list(ids), limit) for _ in range(config.num_return_sequences)]
    return result


def run(
    model: PretrainedModel,
    sequences: list[Continuation],
    config: GenerationConfig,
    stop: Callable[[Continuation], bool] | None = None,
    *,
    scored: bool = False,
) -> Iterator[None]:
    """Extend sequences by a token each, a yield a step, until all are finished.

    Args:
        model: The model.
        sequences: From :func:`prepare`; changed in place.
        config: How to choose tokens. Equal seeds give a prompt the same tokens, alone or in any batch.
        stop: Asked after each token whether a sequence ends here.
        scored: Whether to add up the log-probabilities, which takes a pass over all logits a step.
    """
    batch = len(sequences)
    lengths = [sequence.prompt for sequence in sequences]
    width = prompt_bucket(max(lengths))
    capacity = cache_bucket(width + max(s.limit - s.prompt for s in sequences))
    pad = config.pad_token_id or 0
    if pad >= int(model.config.vocab_size):
        pad = 0  # the mask hides it, but MindSpore refuses to look up what is not there
    ids = np.full((batch, width), pad, np.int32)
    mask = np.ones((batch, capacity), np.int32)
    places = np.zeros((batch, width), np.int32)
    for row, sequence in enumerate(sequences):
        start = width - sequence.prompt
        ids[row, start:] = sequence.ids
        mask[row, :start] = 0
        places[row, start:] = np.arange(sequence.prompt)
    processors = build_processors(config, lengths)
    copies = config.num_return_sequences
    seeds: list[Any] = [
        None if config.seed is None else np.random.SeedSequence(config.seed, spawn_key=(row % copies,))
        for row in range(batch)
    ]
    sampler = Sampler(config.do_sample, seeds)
    write_index = 0
    with _step_for(model, batch, capacity) as step:
        while True:
            with _lock:
                was_training = model.training
                if was_training:
                    model.set_train(False)
                length = ids.shape[1]
                bias = cache_bias(mask, write_index, length)
                slots = cache_slots(step.rows, capacity, write_index, length)
                output = graph_cache.run(step, Tensor(ids), Tensor(places), Tensor(bias), Tensor(slots)).asnumpy()
                if was_training:
                    model.set_train(True)
            write_index += length
            logits = output
            for processor in processors:
                logits = processor([sequence.ids for sequence in sequences], logits)
            chosen = sampler(logits)
            log_probs = log_softmax(output)[np.arange(batch), chosen] if scored else np.zeros(batch)
            for row, sequence in enumerate(sequences):
                if sequence.finished is None:
                    _extend(sequence, int(chosen[row]), float(log_probs[row]), config, stop)
            yield
            if all(sequence.finished for sequence in sequences):
                return
            ids = np.array([[pad if s.finished else s.ids[-1]] for s in sequences], np.int32)
            places = np.array([[min(len(s.ids) - 1, model.max_positions - 1)] for s in sequences], np.int32)


def _extend(
    sequence: Continuation,
    index: int,
    log_prob: float,
    config: GenerationConfig,
    stop: Callable[[Continuation], bool] | None,
) -> None:
    sequence.ids.append(index)
    sequence.score += log_prob
    if index in config.eos_ids:
        sequence.finished = "eos"
    elif stop is not None and stop(sequence):
        sequence.finished = "stop"
    elif len(sequence.ids) >= sequence.limit:
        sequence.finished = "length"


def defaults(model: PretrainedModel) -> dict[str, Any]:
    """Return the generation settings that a model's configuration has."""
    config = model.config
    names = ("do_sample", "top_k", "top_p", "temperature", "repetition_penalty", "eos_token_id", "pad_token_id")
    values = {name: getattr(config, name) for name in names if getattr(config, name, None) is not None}
    longest = getattr(config, "max_decode_length", None)
    return values if longest is None else {**values, "max_length": longest}


def generate(model: PretrainedModel, input_ids: Any, *, attention_mask: Any = None, **options: Any) -> list[list[int]]:
    """Return each prompt's ids followed by the generated ones, the end-of-sequence id included.

    Args:
        model: A model that can decode.
        input_ids: One prompt (a list or 1-d array of ids) or several (a list of lists, or a 2-d array or tensor).
        attention_mask: For a 2-d array: 0 at padding, which is left out.
        **options: Fields of :class:`GenerationConfig`; the model's configuration has the defaults.

    Raises:
        ArgumentError, ArgumentTypeError: An option is unknown or out of range, or a prompt is empty.
        InputTooLongError: A prompt does not fit.
    """
    prompts = _rows(input_ids, attention_mask)
    config = GenerationConfig.from_kwargs(defaults(model), **options)
    if config.stop:
        raise ArgumentError("stop needs a tokenizer", value=config.stop, hint="pipeline('text_generation') has one")
    sequences = prepare(model, prompts, config)
    for _ in run(model, sequences, config):
        pass
    return [sequence.ids for sequence in sequences]


def _rows(input_ids: Any, attention_mask: Any) -> list[list[int]]:
    values = input_ids.asnumpy() if isinstance(input_ids, Tensor) else input_ids
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, (list, tuple)):
        raise ArgumentTypeError(f"prompts are lists of ids, not {type(input_ids).__name__}", value=input_ids)
    rows = [list(row) for row in values] if values and isinstance(values[0], (list, tuple)) else [list(values)]
    for row in rows:
        if not all(isinstance(index, int) and not isinstance(index, bool) for index in row):
            raise ArgumentTypeError(f"a prompt is a list of ids, not {row!r:.80}", value=row)
    if attention_mask is None:
        return rows
    mask = attention_mask.asnumpy() if isinstance(attention_mask, Tensor) else np.asarray(attention_mask)
    if mask.shape != (len(rows), len(rows[0])):
        raise ArgumentError(f"attention_mask has the shape {mask.shape}, input_ids {(len(rows), len(rows[0]))}")
    return [[row[i] for i in np.flatnonzero(kept)] for row, kept in zip(rows, mask, strict=True)]
