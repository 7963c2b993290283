"""Compiled passes of a model over a static cache, kept from one call to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..backends.runtime import exclusive
from ..nn import LayerCache, ms_dtype
from .cache import align_tokens, cache_bias, cache_slots, prompt_bucket
from .direct import DirectStep, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..models.base import PretrainedModel

#: Most steps, each with its graphs and its cache, that a model keeps; the least recently used is dropped first.
_KEPT_STEPS = 8


class DecodeStep(nn.Cell):
    """A model with a cache of fixed size; each call adds tokens and returns the last tokens' logits.

    Args:
        model: Whose ``decode`` is called.
        batch: Rows, B.
        capacity: Slots of a row, C; the last takes padding.
    """

    def __init__(self, model: PretrainedModel, batch: int, capacity: int) -> None:
        super().__init__(auto_prefix=False)  # the model's parameters keep their names
        layers, heads, size = model.cache_shape
        self.model = model
        self.batch, self.heads, self.capacity = batch, heads, capacity
        dtype = ms_dtype(model.activation_dtype)

        def caches(kind: str, size: int) -> ParameterTuple:
            return ParameterTuple([
                Parameter(ms.ops.zeros((batch * heads * capacity, size), dtype), name=f"cache.{kind}.{layer}",
                          requires_grad=False)
                for layer in range(layers)
            ])  # fmt: skip

        self.layers = layers
        self.keys, self.values = caches("key", size), caches("value", model.cache_value_width)
        self.set_train(False)

    @ms.jit
    def construct(
        self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, slots: Tensor, kept: int,
        is_long: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the last token's logits, ``(B, V)``, or those of several, ``(B, kept, V)``.

        Args:
            input_ids, position_ids: ``(B, S)`` int32.
            bias: ``(B, 1, S, C)``; see :func:`mf_core.generation.cache.cache_bias`.
            slots: ``(B * H * S,)`` int32; see :func:`mf_core.generation.cache.cache_slots`.
            kept: Number of last tokens to return logits for.
            is_long: ``(B, 1)`` int32, for models with ``long_from``.
        """
        cache: tuple[LayerCache, ...] = ()
        for layer in range(self.layers):
            cache = cache + ((slots, self.keys[layer], self.values[layer]),)
        last = kept if kept > 1 else None
        if is_long is not None:
            return self.model.decode(input_ids, position_ids, bias, cache, last, is_long)
        return self.model.decode(input_ids, position_ids, bias, cache, last)

    @staticmethod
    def width(longest: int, kept: int) -> int:
        """Return the padded width of a pass over at most ``longest`` tokens per row; each width needs a graph."""
        return kept if longest <= kept else prompt_bucket(longest)

    def least_start(self, row: int) -> int:
        """Return how many of a row's tokens must stay for more to be put after them; of less, 0 have to."""
        return 0

    def put(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, kept: int,
        is_long: Sequence[bool] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Write each row's tokens into its slots from ``starts`` on; return the last tokens' logits, ``(B, kept, V)``.

        Args:
            tokens: Ids; the logits of a row that has none are undefined.
            starts: The first slot of each row.
            width: Width that the rows are padded to.
            kept: Number of last tokens to return logits for.
            is_long: Which rows' texts have the positions of long ones; for models with ``long_from``.
        """
        ids, positions, row_slots = align_tokens(tokens, starts, width, self.capacity)
        bias, slots = cache_bias(positions, self.capacity), cache_slots(row_slots, self.heads, self.capacity)
        inputs = [Tensor(ids), Tensor(positions), Tensor(bias), Tensor(slots), kept]
        if is_long is not None:
            inputs.append(Tensor(np.array(is_long, np.int32)[:, None]))
        with exclusive():
            was_training = self.model.training
            if was_training:
                self.model.set_train(False)
            logits: np.ndarray = self(*inputs).asnumpy()
            if was_training:
                self.model.set_train(True)
        return logits.reshape((self.batch, kept, -1))

    def copy(self, source: DecodeStep, rows: Mapping[int, int], lengths: Sequence[int]) -> None:
        """Copy keys and values from another step's cache, on the device.

        Args:
            source: A step of the same model.
            rows: Row of ``source`` -> row of this cache.
            lengths: Number of slots to copy of each.
        """
        source_slots = [source._slots(row, length) for row, length in zip(rows, lengths, strict=True)]
        target_slots = [self._slots(row, length) for row, length in zip(rows.values(), lengths, strict=True)]
        with exclusive():
            sources, targets = Tensor(np.concatenate(source_slots)), Tensor(np.concatenate(target_slots))
            for old, new in zip((*source.keys, *source.values), (*self.keys, *self.values), strict=True):
                # Outside of a graph: nothing is compiled, and graphs that use the cache see the change.
                ops.scatter_update(new, targets, ops.gather(old, sources, 0))

    def copy_rows(self, rows: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values between rows of this cache, all at once: a row may be both source and target.

        Args:
            rows: Pairs of a source and a target row.
            spans: For each pair, the first position to copy, and the one after the last.
        """
        def slots(which: int) -> np.ndarray | None:
            parts = [
                cache_slots(np.broadcast_to(np.arange(start, end), (pair[which] + 1, end - start)), self.heads,
                            self.capacity)[-self.heads * (end - start) :]
                for pair, (start, end) in zip(rows, spans, strict=True) if end > start
            ]  # fmt: skip
            return np.concatenate(parts) if parts else None

        source_slots, target_slots = slots(0), slots(1)
        if source_slots is None:
            return
        with exclusive():
            sources, targets = Tensor(source_slots), Tensor(target_slots)
            for cache in (*self.keys, *self.values):
                ops.scatter_update(cache, targets, ops.gather(cache, sources, 0))

    def _slots(self, row: int, length: int) -> np.ndarray:
        """Return the indices of a row's first slots in the flat cache."""
        row_slots = np.broadcast_to(np.arange(length), (row + 1, length))
        return cache_slots(row_slots, self.heads, self.capacity)[-self.heads * length :]


Step = DecodeStep | DirectStep


def take_step(model: PretrainedModel, batch: int, capacity: int) -> Step:
    """Return a step for the use of one run, until :func:`give_back`. Overlapping runs get separate ones."""
    with exclusive():
        step, run = _kept(model).pop((batch, capacity), None), prepare(model)
        if run is None:
            return step if isinstance(step, DecodeStep) else DecodeStep(model, batch, capacity)
        if not isinstance(step, DirectStep):
            return DirectStep(model, run, batch, capacity)
        step.run = run  # the weights may be at other addresses by now
        return step


def give_back(step: Step) -> None:
    """Return a step, for the next run to use."""
    with exclusive():
        steps = _kept(step.model)
        steps[step.batch, step.capacity] = step
        while len(steps) > _KEPT_STEPS:
            del steps[next(iter(steps))]


def _kept(model: PretrainedModel) -> dict[tuple[int, int], Step]:
    steps: dict[tuple[int, int], Step] = model.__dict__.setdefault("_decode_steps", {})
    return steps
