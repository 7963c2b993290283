"""Rotary positions (Su et al., 2021, "RoFormer")."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from .kernels import kernel


class Rotary(nn.Cell):
    """Turns each pair of a head's numbers by an angle that grows with the position.

    The pairs are number ``i`` and number ``i + D / 2``, as in Hugging Face's checkpoints of Llama.

    Args:
        width: Width of a head, D.
        length: Longest sequence.
        theta: Base of the wavelengths.
    """

    def __init__(self, width: int, length: int, theta: float = 10000.0) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width={width!r} is not even: pairs of numbers are turned")
        self.width = width
        speeds = theta ** -(np.arange(0, width, 2) / width)
        angles = np.arange(length)[:, None] * speeds[None]
        self.cos, self.sin = Tensor(np.cos(angles).astype(np.float32)), Tensor(np.sin(angles).astype(np.float32))
        self.kernel = kernel("rotary")

    def construct(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Return ``x``, ``(B, S, H * D)``, turned by the angles of ``position_ids``, ``(B, S)`` int32."""
        wide = ops.cast(x, mstype.float32)
        if self.kernel is not None:
            return ops.cast(self.kernel(wide, ops.cast(position_ids, mstype.int32), self.cos, self.sin), x.dtype)
        batch, length, width = x.shape
        heads = wide.reshape((batch, length, width // self.width, self.width))
        first, second = ops.split(heads, self.width // 2, -1)
        # Grown to one shape before they are multiplied: on CPU, MindSpore's broadcasting operators keep large tables.
        cos = ops.broadcast_to(ops.gather(self.cos, position_ids, 0).expand_dims(2), first.shape)
        sin = ops.broadcast_to(ops.gather(self.sin, position_ids, 0).expand_dims(2), first.shape)
        turned = ops.concat((first * cos - second * sin, second * cos + first * sin), -1)
        return ops.cast(turned.reshape(x.shape), x.dtype)
