"""Norms beside :class:`mf_core.nn.LayerNorm`."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from .init import ms_dtype, parameter
from .kernels import kernel


class RMSNorm(nn.Cell):
    """Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019), with the parameter ``weight``.

    Args:
        size: Width.
        epsilon: Added to the mean of the squares.
        offset: Added to the weight: with 1, as in Gemma, weights are stored as differences from 1.
        param_dtype: Type of the parameter.
        dtype: Type of the computation; the result has the input's.

    Attributes:
        total: Sums the squares over the processes that each have a part of the axis; None: this one has all of it.
        size: Width of the whole axis.
    """

    def __init__(
        self, size: int, *, epsilon: float = 1e-6, offset: float = 0.0, param_dtype: str = "float32",
        dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight = parameter((size,), 1.0 - offset, param_dtype)
        self.size, self.epsilon, self.offset, self.dtype = size, epsilon, offset, ms_dtype(dtype)
        self.total: nn.Cell | None = None
        self.fused = kernel("rms_norm")

    def construct(self, x: Tensor) -> Tensor:
        """Return the normalised ``x``."""
        wide, weight = ops.cast(x, self.dtype), ops.cast(self.weight, self.dtype)
        if self.offset != 0:
            weight = weight + self.offset
        if self.fused is not None and self.total is None:
            return ops.cast(self.fused(wide, weight, self.epsilon), x.dtype)
        squares = ops.square(wide)
        if self.total is None:
            mean = squares.mean(-1, keep_dims=True)
        else:
            mean = self.total(squares.sum(-1, keepdims=True)) * (1.0 / self.size)
        root = ops.rsqrt(mean + self.epsilon)
        y = wide * ops.broadcast_to(root, wide.shape)  # expanded first: see attention.py
        return ops.cast(y * ops.broadcast_to(weight, wide.shape), x.dtype)
