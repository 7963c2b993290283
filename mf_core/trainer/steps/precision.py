"""The types that a model computes in and that its weights have while it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import mindspore as ms

from ...backends.base import get_backend
from ...models.base import PretrainedModel
from ...nn.kernels import product_kernel


class Precision:
    """Sets the type that a model computes in, and casts its weights to fp32, for the time of a training.

    Args:
        model: The model; making this object does not change it.
        dtype: The type to compute in; None: the model's own.

    Raises:
        BackendError: The device cannot compute in it.
    """

    def __init__(self, model: PretrainedModel, dtype: str | None) -> None:
        self._model, self._dtype = model, dtype
        if dtype is not None and dtype != model.compute_dtype:
            chosen = get_backend().compute_dtype(model.config.replace(compute_dtype=dtype))
            product_kernel(chosen, outputs_first=False)  # raises where the type needs a kernel that is missing

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model computes in the type; after it in its own again."""
        before = self._model.compute_dtype
        changes = self._dtype is not None and self._dtype != before
        if changes:
            self._model.set_compute_dtype(str(self._dtype))
        try:
            yield
        finally:
            if changes:
                self._model.set_compute_dtype(before)

    @contextmanager
    def masters(self) -> Iterator[None]:
        """Within the block, trained weights of 16 bits are fp32, so that small updates are not lost."""
        halves = [(p, p.dtype) for p in self._model.trainable_params() if p.dtype != ms.float32]
        if not halves:
            yield
            return
        _cast((parameter, ms.float32) for parameter, _ in halves)
        try:
            yield
        finally:
            _cast(halves)


def _cast(parameters: Iterable[tuple[ms.Parameter, Any]]) -> None:
    for parameter, dtype in parameters:
        parameter.set_dtype(dtype)
    ms.ms_memory_recycle()  # graphs that were compiled before would keep the memory, and the values, from before
