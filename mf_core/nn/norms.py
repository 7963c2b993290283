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
        param_dtype: Type of the parameter.
        dtype: Type of the computation; the result has the input's.
    """

    def __init__(
        self, size: int, *, epsilon: float = 1e-6, param_dtype: str = "float32", dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.weight = parameter((size,), 1.0, param_dtype)
        self.epsilon, self.dtype = epsilon, ms_dtype(dtype)
        self.fused = kernel("rms_norm")

    def construct(self, x: Tensor) -> Tensor:
        """Return the normalised ``x``."""
        wide, weight = ops.cast(x, self.dtype), ops.cast(self.weight, self.dtype)
        if self.fused is not None:
            return ops.cast(self.fused(wide, weight, self.epsilon), x.dtype)
        root = ops.rsqrt(ops.square(wide).mean(-1, keep_dims=True) + self.epsilon)
        y = wide * ops.broadcast_to(root, wide.shape)  # grown first: see attention.py
        return ops.cast(y * ops.broadcast_to(weight, wide.shape), x.dtype)
