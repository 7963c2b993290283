"""Rotary positions (Su et al., 2021, "RoFormer")."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from .kernels import kernel

#: Tables that layers in use share: those of 131,072 positions take 30 MB.
_TABLES: weakref.WeakValueDictionary[tuple[object, ...], Tensor] = weakref.WeakValueDictionary()


def _table(function: str, frequencies: tuple[tuple[float, ...], ...], length: int, scale: float) -> Tensor:
    """Return cosines or sines of ``length`` positions for each group of frequencies, one group after the other."""
    key = (function, frequencies, length, scale)
    found = _TABLES.get(key)
    if found is None:
        angles = np.concatenate([np.arange(length)[:, None] * np.array(each)[None] for each in frequencies])
        found = Tensor((getattr(np, function)(angles) * scale).astype(np.float32))
        _TABLES[key] = found
    return found


class Rotary(nn.Cell):
    """Rotates pairs of a head's elements by an angle that grows with the position.

    The pairs are elements ``i`` and ``i + R / 2`` of the first R of a head, or ``2 i`` and ``2 i + 1`` where they are
    interleaved; elements from R on stay as they are.

    Args:
        width: Width of a head, D.
        length: Longest sequence.
        theta: Base of the wavelengths, for frequencies ``theta ** (-2 i / D)``.
        frequencies: The ``R / 2`` angles per position themselves, instead of ``theta``.
        scale: Factor of cosines and sines (YaRN, LongRoPE).
        interleaved: Whether pairs are neighbours.
        long_frequencies: Frequencies for texts longer than the model's original context (LongRoPE): their cosines and
            sines follow those for short texts, at position ids from ``length`` on.
    """

    def __init__(
        self, width: int, length: int, theta: float = 10000.0, *, frequencies: Sequence[float] | None = None,
        scale: float = 1.0, interleaved: bool = False, long_frequencies: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width={width!r} is not even: pairs of elements are rotated")
        if frequencies is None:
            frequencies = theta ** -(np.arange(0, width, 2) / width)  # type: ignore[assignment]
        self.width = width
        self.rotated, self.interleaved = 2 * len(frequencies), interleaved  # type: ignore[arg-type]
        every = [tuple(map(float, each)) for each in (frequencies, long_frequencies) if each is not None]
        self.cos, self.sin = (_table(function, tuple(every), length, scale) for function in ("cos", "sin"))
        self.kernel = kernel("rotary") if self.is_plain else None

    @property
    def is_plain(self) -> bool:
        """Whether whole heads are rotated in pairs of ``i`` and ``i + D / 2``, as the backend's kernels do."""
        return self.rotated == self.width and not self.interleaved

    def construct(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Return ``x``, ``(B, S, H * D)``, rotated by the angles of ``position_ids``, ``(B, S)`` int32."""
        wide = ops.cast(x, mstype.float32)
        if self.kernel is not None:
            return ops.cast(self.kernel(wide, ops.cast(position_ids, mstype.int32), self.cos, self.sin), x.dtype)
        batch, length, width = x.shape
        heads, half = wide.reshape((batch, length, width // self.width, self.width)), self.rotated // 2
        rest = None
        if self.rotated < self.width:
            heads, rest = ops.split(heads, (self.rotated, self.width - self.rotated), -1)
        if self.interleaved:
            first, second = heads[:, :, :, 0::2], heads[:, :, :, 1::2]
        else:
            first, second = ops.split(heads, half, -1)
        # Expanded to one shape before the products: on CPU, MindSpore's broadcasting operators keep large tables.
        cos = ops.broadcast_to(ops.gather(self.cos, position_ids, 0).expand_dims(2), first.shape)
        sin = ops.broadcast_to(ops.gather(self.sin, position_ids, 0).expand_dims(2), first.shape)
        pair = (first * cos - second * sin, second * cos + first * sin)
        rotated = ops.stack(pair, -1).reshape(heads.shape) if self.interleaved else ops.concat(pair, -1)
        if rest is not None:
            rotated = ops.concat((rotated, rest), -1)
        return ops.cast(rotated.reshape(x.shape), x.dtype)
