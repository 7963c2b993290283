"""Passes of a model over its cache by a single kernel of the backend, without compiling graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.runtime import exclusive
from ..nn.kernels import kernel
from .cache import align_tokens
from .windowed_memory import WindowedMemory

if TYPE_CHECKING:
    from ..models.base import PretrainedModel


class DirectStep:
    """A model with a cache of fixed size; each call adds tokens and returns the last tokens' logits.

    Has the interface of :class:`mf_core.generation.steps.DecodeStep`, for any number of tokens. Windowed layers give
    back the memory of tokens that have left the window.

    Args:
        model: The model.
        run: From :func:`prepare`; it may be replaced when weights have changed.
        batch: Rows, B.
        capacity: Slots of a row, C; the last takes padding.
    """

    def __init__(self, model: PretrainedModel, run: Any, batch: int, capacity: int) -> None:
        self.model, self.run, self.batch, self.capacity = model, run, batch, capacity

        def caches() -> list[WindowedMemory]:
            return [WindowedMemory((batch, layer.groups, capacity, layer.size), layer.window)
                    for layer in run.spec.layers]  # fmt: skip

        self._keys, self._values = caches(), caches()
        self.keys, self.values = ([cache.array for cache in side] for side in (self._keys, self._values))
        #: The first slot of each row that layers have, by their windows.
        self._first = {cache.window: [0] * batch for cache in self._keys}

    @staticmethod
    def width(longest: int, kept: int) -> int:
        """Return the padded width of a pass over at most ``longest`` tokens per row."""
        return max(longest, kept)

    def least_start(self, row: int) -> int:
        """See :meth:`mf_core.generation.steps.DecodeStep.least_start`."""
        return max(first[row] + window if first[row] else 0 for window, first in self._first.items())

    def put(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, kept: int,
        is_long: Sequence[bool] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """See :meth:`mf_core.generation.steps.DecodeStep.put`."""
        ids, positions, slots = align_tokens(tokens, starts, width, self.capacity)
        long = {} if is_long is None else {"is_long": np.array(is_long)}
        with exclusive():
            logits: np.ndarray = self.run(ids, positions, slots, self.keys, self.values, self.capacity, kept, **long)
        for row, (new, start) in enumerate(zip(tokens, starts, strict=True)):
            if new:
                self._release(row, start, start + len(new))
        return logits

    def copy(self, source: DirectStep, rows: Mapping[int, int], lengths: Sequence[int]) -> None:
        """See :meth:`mf_core.generation.steps.DecodeStep.copy`."""
        spans = [(0, length) for length in lengths]
        self._copy(source, list(rows.items()), spans)

    def copy_rows(self, rows: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> None:
        """See :meth:`mf_core.generation.steps.DecodeStep.copy_rows`."""
        self._copy(self, rows, spans)

    def _copy(self, source: DirectStep, rows: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> None:
        for old, new in zip((*source._keys, *source._values), (*self._keys, *self._values), strict=True):
            first = source._first[old.window]
            spans_kept = [(max(start, first[row]), end) for (row, _), (start, end) in zip(rows, spans, strict=True)]
            taken = [old.array[row, :, start:end].copy()
                     for (row, _), (start, end) in zip(rows, spans_kept, strict=True)]  # fmt: skip
            for (_, row), (start, end), part in zip(rows, spans_kept, taken, strict=True):
                new.array[row, :, start:end] = part
        for window, first in source._first.items():
            before = [first[row] for row, _ in rows]
            for (_, row), slot in zip(rows, before, strict=True):
                self._first[window][row] = slot if source is not self else max(slot, self._first[window][row])

    def _release(self, row: int, start: int, end: int) -> None:
        """Give back the slots before the windows of a row that a pass has extended from ``start`` to ``end``."""
        for window, first in self._first.items():
            if start == 0:
                first[row] = 0
            if window:
                caches = [cache for cache in (*self._keys, *self._values) if cache.window == window]
                first[row] = max([cache.release(row, first[row], end - cache.kept) for cache in caches])


def prepare(model: PretrainedModel) -> Callable[..., np.ndarray] | None:
    """Return a function that runs a model's passes without a graph, with its current weights; None if unsupported."""
    make = kernel("decoder_pass")
    arrays = None if make is None else model.decoder_arrays()
    return None if make is None or arrays is None else make(arrays)
