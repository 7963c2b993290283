"""Passes of a model over its cache by a single kernel of the backend, without compiling graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.runtime import exclusive
from ..nn.kernels import kernel
from .cache import align_tokens

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

class DirectStep:
    """A model with a cache of fixed size; each call adds tokens and returns the last tokens' logits.

    Has the interface of :class:`mf_core.generation.steps.DecodeStep`, for any number of tokens.

    Args:
        model: The model.
        run: From :func:`prepare`; it may be replaced when weights have changed.
        batch: Rows, B.
        capacity: Slots of a row, C; the last takes padding.
    """

    def __init__(self, model: PretrainedModel, run: Any, batch: int, capacity: int) -> None:
        self.model, self.run, self.batch, self.capacity = model, run, batch, capacity
        layers = run.spec.layers

        def caches() -> list[np.ndarray]:  # memory is allocated when it is written
            return [np.zeros((batch, layer.groups, capacity, layer.size), np.float32) for layer in layers]

        self.keys, self.values = caches(), caches()

    @staticmethod
    def width(longest: int, kept: int) -> int:
        """Return the padded width of a pass over at most ``longest`` tokens per row."""
        return max(longest, kept)

    def put(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, kept: int,
        is_long: Sequence[bool] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """See :meth:`mf_core.generation.steps.DecodeStep.put`."""
        ids, positions, slots = align_tokens(tokens, starts, width, self.capacity)
        long = {} if is_long is None else {"is_long": np.array(is_long)}
        with exclusive():
            logits: np.ndarray = self.run(ids, positions, slots, self.keys, self.values, self.capacity, kept, **long)
        return logits

    def copy(self, source: DirectStep, rows: Mapping[int, int], lengths: Sequence[int]) -> None:
        """See :meth:`mf_core.generation.steps.DecodeStep.copy`."""
        for old, new in zip((*source.keys, *source.values), (*self.keys, *self.values), strict=True):
            taken = [old[row, :, :length].copy() for row, length in zip(rows, lengths, strict=True)]
            for row, part in zip(rows.values(), taken, strict=True):
                new[row, :, : part.shape[1]] = part

    def copy_rows(self, rows: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> None:
        """See :meth:`mf_core.generation.steps.DecodeStep.copy_rows`."""
        for cache in (*self.keys, *self.values):
            taken = [cache[source, :, start:end].copy() for (source, _), (start, end) in zip(rows, spans, strict=True)]
            for (_, target), (start, end), part in zip(rows, spans, taken, strict=True):
                cache[target, :, start:end] = part


def prepare(model: PretrainedModel) -> Callable[..., np.ndarray] | None:
    """Return a function that runs a model's passes without a graph, with its current weights; None if unsupported."""
    make = kernel("decoder_pass")
    arrays = None if make is None else model.decoder_arrays()
    return None if make is None or arrays is None else make(arrays)
