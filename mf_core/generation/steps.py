"""Compiled passes of a model over a static cache, kept from one call to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..backends.runtime import exclusive
from ..nn import LayerCache, ms_dtype
from ..nn.attention import MASKED
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
        rows = batch * heads * capacity
        self.layers = layers
        self.keys = self.caches("key", rows, size)
        self.values = self.caches("value", rows, model.cache_value_width)
        self.set_train(False)

    def caches(self, kind: str, rows: int, size: int) -> ParameterTuple:
        """Return a parameter of zeros ``(rows, size)`` for each layer."""
        dtype = ms_dtype(self.model.activation_dtype)
        return ParameterTuple([
            Parameter(ms.ops.zeros((rows, size), dtype), name=f"cache.{kind}.{layer}", requires_grad=False)
            for layer in range(self.layers)
        ])  # fmt: skip

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
        if is_long is not None:
            return self.model.decode(input_ids, position_ids, bias, cache, kept if kept > 1 else None, is_long)
        if kept > 1:
            return self.model.decode(input_ids, position_ids, bias, cache, kept)
        return self.model.decode(input_ids, position_ids, bias, cache)  # which is all that a model has to take

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
            logits = self.compute(*inputs)
            if was_training:
                self.model.set_train(True)
        return logits.reshape((self.batch, kept, -1))

    def compute(self, *arguments: Any) -> np.ndarray:
        """Return the logits for the arguments of :meth:`construct`, as an array."""
        logits: np.ndarray = self(*arguments).asnumpy()
        return logits

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


class SourceStep(DecodeStep):
    """A step of an encoder-decoder model, which also has the keys and values that are made of each row's source.

    Args:
        model: With ``encode`` and ``memory``; see :class:`mf_core.models.EncoderDecoderForSeq2SeqLM`.
        batch: Rows, B.
        capacity: Slots of a row of the target, C.
        source: Slots of a source, M.

    Attributes:
        lengths: Tokens of each row's source.
    """

    def __init__(self, model: PretrainedModel, batch: int, capacity: int, source: int) -> None:
        super().__init__(model, batch, capacity)
        _, heads, size = model.memory_shape
        self.memory_heads, self.source = heads, source
        self.memory_keys = self.caches("memory_key", batch * heads * source, size)
        self.memory_values = self.caches("memory_value", batch * heads * source, size)
        self.encoder = _Encoder(model)
        self.lengths = [0] * batch

    @ms.jit
    def construct(
        self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, slots: Tensor, kept: int, memory_bias: Tensor
    ) -> Tensor:
        """See the base class; ``memory_bias`` is ``(B, 1, 1, M)``."""
        cache: tuple[LayerCache, ...] = ()
        memory: tuple[Any, ...] = ()
        shape = (self.batch, self.memory_heads, self.source, -1)
        for layer in range(self.layers):
            cache = cache + ((slots, self.keys[layer], self.values[layer]),)
            key, value = self.memory_keys[layer].reshape(shape), self.memory_values[layer].reshape(shape)
            memory = memory + ((key, value, memory_bias),)
        return self.model.decode(input_ids, position_ids, bias, cache, kept if kept > 1 else None, memory)

    def compute(self, *arguments: Any) -> np.ndarray:
        """See the base class."""
        hidden = np.arange(self.source) >= np.array(self.lengths)[:, None]
        bias = np.where(hidden, np.float32(MASKED), np.float32(0)).reshape((self.batch, 1, 1, self.source))
        return super().compute(*arguments, Tensor(bias))

    def read(self, sources: Mapping[int, Sequence[int]]) -> None:
        """Give rows their sources: row -> ids, at most M of them."""
        ids, mask = np.zeros((2, self.batch, self.source), np.int32)
        for row, source in sources.items():
            ids[row, : len(source)], mask[row, : len(source)] = source, 1
            self.lengths[row] = len(source)
        slots = np.concatenate([self._memory_slots(row) for row in sources])
        with exclusive():
            was_training = self.model.training
            self.model.set_train(False)
            made, where = self.encoder(Tensor(ids), Tensor(mask)), Tensor(slots)
            for old, new in zip((*self.memory_keys, *self.memory_values), made, strict=True):
                ops.scatter_update(old, where, ops.gather(new.reshape((-1, new.shape[-1])), where, 0))
            self.model.set_train(was_training)

    def copy(self, source: DecodeStep, rows: Mapping[int, int], lengths: Sequence[int]) -> None:
        """See the base class; the sources are copied, too."""
        assert isinstance(source, SourceStep)
        super().copy(source, rows, lengths)
        size = min(self.source, source.source)
        olds = np.concatenate([source._memory_slots(row, size) for row in rows])
        news = np.concatenate([self._memory_slots(row, size) for row in rows.values()])
        with exclusive():
            for old, new in zip(
                (*source.memory_keys, *source.memory_values), (*self.memory_keys, *self.memory_values), strict=True
            ):
                ops.scatter_update(new, Tensor(news), ops.gather(old, Tensor(olds), 0))
        for old_row, new_row in rows.items():
            self.lengths[new_row] = source.lengths[old_row]

    def _memory_slots(self, row: int, size: int | None = None) -> np.ndarray:
        """Return the indices of the first slots of a row's source, all unless said."""
        size = size or self.source
        slots = cache_slots(np.broadcast_to(np.arange(size), (row + 1, size)), self.memory_heads, self.source)
        return slots[-self.memory_heads * size :]


class _Encoder(nn.Cell):
    """Maps sources ``(B, M)`` and their mask to the keys of all layers, then the values, each ``(B, H, M, D)``."""

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    @ms.jit
    def construct(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        keys: tuple[Tensor, ...] = ()
        values: tuple[Tensor, ...] = ()
        for key, value, _ in self.model.memory(self.model.encode(input_ids, attention_mask), attention_mask):
            keys, values = keys + (key,), values + (value,)
        return keys + values


Step = DecodeStep | DirectStep


def take_step(model: PretrainedModel, batch: int, capacity: int, source: int = 0) -> Step:
    """Return a step for the use of one run, until :func:`give_back`. Overlapping runs get separate ones.

    Args:
        model: The model.
        batch, capacity: See :class:`DecodeStep`.
        source: Of an encoder-decoder model: slots of a source.
    """
    with exclusive():
        step = _kept(model).pop((batch, capacity, source), None)
        if model.is_encoder_decoder:
            return step if step is not None else SourceStep(model, batch, capacity, source)
        run = prepare(model)
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
        steps[step.batch, step.capacity, step.source if isinstance(step, SourceStep) else 0] = step
        while len(steps) > _KEPT_STEPS:
            del steps[next(iter(steps))]


def _kept(model: PretrainedModel) -> dict[tuple[int, int, int], Step]:
    steps: dict[tuple[int, int, int], Step] = model.__dict__.setdefault("_decode_steps", {})
    return steps
