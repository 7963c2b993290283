"""The types that a model computes in and keeps its weights in while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms

from ...models.base import PretrainedModel


class Precision:
    """Sets what the model computes in; holds its weights in fp32 for the time of a training.

    Args:
        model: The model.
        dtype: What to compute in; None: what it does already.

    Raises:
        BackendError: The device cannot compute in it.
    """

    def __init__(self, model: PretrainedModel, dtype: str | None) -> None:
        self._model = model
        if dtype is not None and dtype != model.compute_dtype:
            model.set_compute_dtype(dtype)

    @property
    def compute_dtype(self) -> str:
        """What the model computes in."""
        return self._model.compute_dtype

    @contextmanager
    def masters(self) -> Iterator[None]:
        """Within the block, weights of 16 bits are fp32, so that small updates are not lost."""
        halves = [(p, p.dtype) for p in self._model.trainable_params() if p.dtype != ms.float32]
        for parameter, _ in halves:
            parameter.set_dtype(ms.float32)
        try:
            yield
        finally:
            for parameter, dtype in halves:
                parameter.set_dtype(dtype)
