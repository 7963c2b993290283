"""Rotary positions (Su et al., 2021, "RoFormer")."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops


class Rotary(nn.Cell):
    """Turns each pair of a head's numbers by an angle that grows with the position.

    The pairs are number ``i`` and number ``i + D / 2``, as in Hugging Face's checkpoints.

    Args:
        width: Width of a head, D.
        length: Longest sequence.
        theta: Base of the wavelengths.
    """

    def __init__(self, width: int, length: int, theta: float) -> None:
        super().__init__()
        speeds = theta ** -(np.arange(0, width, 2) / width)
        angles = np.arange(length)[:, None] * speeds[None]
        self.cos, self.sin = Tensor(np.cos(angles).astype(np.float32)), Tensor(np.sin(angles).astype(np.float32))

    def construct(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Return ``x``, ``(B, H, S, D)``, turned by the angles of ``position_ids``, ``(B, S)``."""
        first, second = ops.split(ops.cast(x, self.cos.dtype), x.shape[-1] // 2, -1)
        # Grown to one shape before they are multiplied: on CPU, MindSpore's broadcasting operators keep large tables.
        cos = ops.broadcast_to(ops.gather(self.cos, position_ids, 0).expand_dims(1), first.shape)
        sin = ops.broadcast_to(ops.gather(self.sin, position_ids, 0).expand_dims(1), first.shape)
        turned = ops.concat((first * cos - second * sin, second * cos + first * sin), -1)
        return ops.cast(turned, x.dtype)
