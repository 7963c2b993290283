"""Passes of a model over its cache by one kernel of the backend's, without a graph: nothing is compiled for a shape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn.kernels import kernel
from .cache import place_tokens

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

_lock = threading.Lock()


class DirectStep:
    """A model with a cache of fixed size; each call puts tokens into it and returns the last ones' logits.

    It does what :class:`mf_core.generation.steps.DecodeStep` does, for any number of tokens.

    Args:
        model: The model.
        batch: Rows, B.
        capacity: Slots of a row, C; the last of them takes padding.
    """

    def __init__(self, model: PretrainedModel, batch: int, capacity: int) -> None:
        self.model, self.batch, self.capacity = model, batch, capacity
        self.run = _prepare(model)
        layers = self.run.spec.layers

        def caches() -> list[np.ndarray]:  # the system gives memory to what is written
            return [np.zeros((batch, layer.groups, capacity, layer.size), np.float32) for layer in layers]

        self.keys, self.values = caches(), caches()

    def renew(self) -> None:
        """Read the model's weights again: they may have been given other memory since the last run."""
        self.run = _prepare(self.model)

    @staticmethod
    def width(longest: int, kept: int) -> int:
        """Return what a pass over at most ``longest`` tokens of a row is padded to."""
        return max(longest, kept)

    def put(self, tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, kept: int) -> np.ndarray:
        """See :meth:`mf_core.generation.steps.DecodeStep.put`."""
        ids, positions, slots = place_tokens(tokens, starts, width, self.capacity)
        with _lock:
            logits: np.ndarray = self.run(ids, positions, slots, self.keys, self.values, self.capacity, kept)
        return logits

    def copy(self, source: DirectStep, rows: Mapping[int, int], lengths: Sequence[int]) -> None:
        """See :meth:`mf_core.generation.steps.DecodeStep.copy`."""
        for old, new in zip((*source.keys, *source.values), (*self.keys, *self.values), strict=True):
            taken = [old[row, :, :length].copy() for row, length in zip(rows, lengths, strict=True)]
            for row, part in zip(rows.values(), taken, strict=True):
                new[row, :, : part.shape[1]] = part


def can_run(model: PretrainedModel) -> bool:
    """Return whether the backend runs the model's passes without a graph."""
    make = kernel("decoder_pass")
    return make is not None and model.decoder_arrays() is not None


def _prepare(model: PretrainedModel) -> Any:
    make: Callable[..., Any] | None = kernel("decoder_pass")
    arrays = model.decoder_arrays()
    assert make is not None and arrays is not None
    return make(arrays)
