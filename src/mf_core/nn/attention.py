"""Attention and its static key-value cache, as functions for use inside ``construct``.

Shapes: B batch, H heads, S tokens of this call, C places of the cache, D width of a head.

On CPU, MindSpore's transposing operator keeps a table of 8 bytes an element of its output, and every elementwise
operator that broadcasts one of 16 bytes, for as long as the graph lives. So nothing large is transposed or broadcast
here: heads are split off and stacked, and what has to grow is grown by ``broadcast_to`` first, which keeps nothing.
"""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype


class _Softmax(nn.Cell):
    """Softmax over the last axis, with a gradient that neither transposes nor broadcasts, as MindSpore's own does."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = ops.Softmax(-1)

    def construct(self, x: Tensor) -> Tensor:
        return self.softmax(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return ``out * (dout - sum(out * dout))``."""
        total = (out * dout).sum(-1, keepdims=True)
        return (out * (dout - ops.broadcast_to(total, out.shape)),)


_SOFTMAX = _Softmax()

#: Added to the scores of what must not be seen. Finite, also in fp16: a row of padding, which sees nothing, has no NaN.
MASKED = -6.0e4


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """``(B, S, H * D)`` to ``(B, H, S, D)``."""
    batch, length, width = x.shape
    if length == 1 or num_heads == 1:
        return x.reshape((batch, num_heads, length, width // num_heads))
    return ops.stack(ops.split(x, width // num_heads, -1), 1)


def merge_heads(x: Tensor) -> Tensor:
    """``(B, H, S, D)`` to ``(B, S, H * D)``."""
    batch, heads, length, size = x.shape
    if length == 1 or heads == 1:
        return x.reshape((batch, length, heads * size))
    return ops.concat(ops.split(x.reshape((batch, heads * length, size)), length, 1), -1)


def attention_weights(query: Tensor, key: Tensor, bias: Tensor, scale: float, dtype: Any) -> Tensor:
    """Return ``softmax(query @ key.T * scale + bias)``, computed in ``dtype`` (Vaswani et al., 2017, section 3.2.1).

    The query is scaled rather than the scores, which are larger.

    Args:
        query: ``(B, H, S, D)``.
        key: ``(B, H, T, D)``.
        bias: ``(B or 1, 1, S, T)``: 0 where a query may look, ``MASKED`` elsewhere.
        scale: Usually ``1 / sqrt(D)``.
        dtype: Type of the softmax.
    """
    scores = ops.cast(ops.BatchMatMul(transpose_b=True)(query * scale, key), dtype)
    return ops.cast(_SOFTMAX(scores + ops.broadcast_to(ops.cast(bias, dtype), scores.shape)), query.dtype)


def causal_bias(attention_mask: Tensor | None, length: int) -> Tensor:
    """Return the bias for ``length`` tokens that see themselves, what is before them, and no padding.

    Args:
        attention_mask: ``(B, length)``, 1 for tokens; or ``(B, length, length)``, 1 where a query (second axis) may see
            a key (third axis), as for documents packed into one row; None: no padding.
        length: S.

    Returns:
        ``(B or 1, 1, length, length)`` fp32.
    """
    places = ops.arange(length)
    visible = (places.reshape((1, -1)) <= places.reshape((-1, 1))).reshape((1, 1, length, length))
    if attention_mask is not None:
        shape = (-1, 1, 1, length) if attention_mask.ndim == 2 else (-1, 1, length, length)
        visible = ops.logical_and(visible, (attention_mask != 0).reshape(shape))
    return (1.0 - ops.cast(visible, mstype.float32)) * MASKED


def cache_bias(cache_mask: Tensor, write_index: Tensor, length: int) -> Tensor:
    """Return the bias for tokens at places ``write_index … write_index + length - 1`` of a cache.

    Args:
        cache_mask: ``(B, C)``, 1 at places that hold, or will hold, a token and not padding.
        write_index: Scalar.
        length: S.

    Returns:
        ``(B, 1, length, C)`` fp32.
    """
    capacity = cache_mask.shape[1]
    reach = (write_index + ops.arange(length)).reshape((1, -1, 1))
    visible = ops.logical_and(ops.arange(capacity).reshape((1, 1, -1)) <= reach, (cache_mask != 0).expand_dims(1))
    return ((1.0 - ops.cast(visible, mstype.float32)) * MASKED).expand_dims(1)


def cache_slots(rows: int, capacity: int, write_index: Tensor, length: int) -> Tensor:
    """Return where ``rows`` (B * H) rows of ``length`` tokens go in a flat cache of ``rows * capacity`` places."""
    starts = (ops.arange(rows) * capacity).reshape((-1, 1))
    places = (write_index + ops.arange(length)).reshape((1, -1))
    return ops.cast((starts + places).reshape((-1,)), mstype.int32)


def write_cache(cache: Tensor, slots: Tensor, new: Tensor) -> Tensor:
    """Put new keys or values into a cache, in place, and return all of it.

    Args:
        cache: A parameter of shape ``(B * H * C, D)``.
        slots: ``(B * H * S,)`` int32, from :func:`cache_slots`.
        new: ``(B, H, S, D)``.

    Returns:
        ``(B, H, C, D)``.
    """
    batch, heads, _, size = new.shape
    return ops.scatter_update(cache, slots, new.reshape((-1, size))).reshape((batch, heads, -1, size))


def positions(attention_mask: Tensor) -> Tensor:
    """Return each token's position, counted without padding: ``(B, S)`` int32; 0 on padding before the text."""
    counted = ops.cumsum(ops.cast(attention_mask, mstype.int32), 1) - 1
    return ops.cast(ops.maximum(counted, ops.zeros_like(counted)), mstype.int32)
