"""Attention and its static key-value cache, for use inside ``construct``.

Shapes: B batch, H heads, G key-value heads, S tokens of this call, C slots of the cache, D width of a head.

On CPU, MindSpore's transposing operator keeps a table of 8 bytes an element of its output, and every elementwise
operator that broadcasts one of 16 bytes, for as long as the graph lives. So nothing large is transposed or broadcast
here: heads are split off and stacked, and what has to grow is grown by ``broadcast_to`` first, which keeps nothing.
Where MindSpore's parallel compiler splits a model (``by_compiler``), the plain operators serve: it can split them along
the heads, and makes their gradients itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from .kernels import kernel
from .operators import Operators


class _Softmax(nn.Cell):
    """Softmax over the last axis, with a gradient that neither transposes nor broadcasts, as MindSpore's own does."""

    def construct(self, x: Tensor) -> Tensor:
        return ops.Softmax(-1)(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return ``out * (dout - sum(out * dout))``."""
        total = (out * dout).sum(-1, keepdims=True)
        return (out * (dout - ops.broadcast_to(total, out.shape)),)


_SOFTMAX = _Softmax()

#: Added to the scores of keys that a query may not attend to. Finite, also in fp16: a row of padding has no NaN.
MASKED = -6.0e4

#: What a layer is given of the key-value cache: where the new tokens go, ``(B * G * S,)`` int32, and the keys and the
#: values that it holds, each ``(B * G * C, D)``. A plain tuple: MindSpore's graphs build no other kind inside.
LayerCache = tuple[Tensor, Parameter, Parameter]


class Attention(nn.Cell):
    """Multi-head attention between its projections: heads, their weights, the weighted sums. Has no parameters.

    Args:
        fused: Whether to look up the backend's kernels for :meth:`attend` and :meth:`attend_cached`; the backend is set
            up for that.

    Attributes:
        by_compiler: Whether MindSpore's parallel compiler splits the operators.
    """

    operators: ClassVar[Operators] = {
        "part": ("rows - heads -",),
        "scale": ("rows heads - -", ""),
        "scores": ("rows heads - -", "rows heads - -"),
        "mask": ("rows heads - -", "mask - - -"),
        "softmax": ("rows heads - -",),
        "sums": ("rows heads - -", "rows heads - -"),
        "join": ("rows heads - -",),
    }

    def __init__(self, *, fused: bool = False) -> None:
        super().__init__()
        self.kernel = kernel("causal_attention") if fused else None
        self.self_kernel: Any = kernel("self_attention") if fused else None
        self.cached_kernel: Any = kernel("cached_attention") if fused else None
        self.softmax_kernel = kernel("softmax") if fused else None
        self.write_kernel = kernel("write_cache") if fused else None
        self.part, self.join = ops.Transpose(), ops.Transpose()
        self.scale, self.scores = ops.Mul(), ops.BatchMatMul(transpose_b=True)
        self.mask, self.softmax, self.sums = ops.Add(), ops.Softmax(-1), ops.BatchMatMul()
        self.by_compiler = False

    def split(self, x: Tensor, num_heads: int) -> Tensor:
        """``(B, S, H * D)`` to ``(B, H, S, D)``."""
        batch, length, width = x.shape
        if self.by_compiler:
            return self.part(x.reshape((batch, length, num_heads, width // num_heads)), (0, 2, 1, 3))
        if length == 1 or num_heads == 1:
            return x.reshape((batch, num_heads, length, width // num_heads))
        return ops.stack(ops.split(x, width // num_heads, -1), 1)

    def merge(self, x: Tensor) -> Tensor:
        """``(B, H, S, D)`` to ``(B, S, H * D)``."""
        batch, heads, length, size = x.shape
        if self.by_compiler:
            return self.join(x, (0, 2, 1, 3)).reshape((batch, length, heads * size))
        if length == 1 or heads == 1:
            return x.reshape((batch, length, heads * size))
        return ops.concat(ops.split(x.reshape((batch, heads * length, size)), length, 1), -1)

    def weights(
        self, query: Tensor, key: Tensor, bias: Tensor, scale: float, dtype: Any, soft_cap: float | None = None,
        sinks: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return ``softmax(query @ key.T * scale + bias)``, computed in ``dtype`` (Vaswani et al., 2017, 3.2.1).

        The query is scaled rather than the scores, which are larger.

        Args:
            query: ``(B, H, S, D)``.
            key: ``(B, H, T, D)``.
            bias: ``(B or 1, 1 or H, S, T)``: 0 where a query may attend, ``MASKED`` elsewhere.
            scale: Usually ``1 / sqrt(D)``.
            dtype: Type of the softmax.
            soft_cap: See :meth:`attend`.
            sinks: ``(B, H, S, 1)`` scores of a key without a value.

        Returns:
            ``(B, H, S, T)``, of the query's type.
        """
        scores = ops.cast(self.scores(self.scale(query, scale), key), dtype)
        bias = ops.cast(bias, dtype)
        if self.by_compiler:
            return ops.cast(self.softmax(self.mask(scores, bias)), query.dtype)
        if soft_cap is not None:
            scores = ops.tanh(scores * (1.0 / soft_cap)) * soft_cap
        scores = self.mask(scores, ops.broadcast_to(bias, scores.shape))
        if sinks is not None:
            scores = ops.concat((scores, ops.cast(sinks, dtype)), -1)
        if self.softmax_kernel is not None and scores.dtype == mstype.float32:
            weights = ops.cast(self.softmax_kernel(scores), query.dtype)
        else:
            weights = ops.cast(_SOFTMAX(scores), query.dtype)
        return weights if sinks is None else weights[:, :, :, :-1]

    def weighted_sum(self, weights: Tensor, value: Tensor) -> Tensor:
        """Return the sums of ``value``, ``(B, H, T, D)``, by ``weights``, ``(B, H, S, T)``: ``(B, S, H * D)``."""
        return self.merge(self.sums(weights, value))

    def can_fuse(self, query: Tensor, dropping: bool) -> bool:
        """Return whether there is a kernel that takes this: 16 bits, a width that 16 divides, no weights dropped."""
        fits = query.dtype != mstype.float32 and query.shape[-1] % 16 == 0
        return self.kernel is not None and fits and not dropping and not self.by_compiler

    def fuse(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> Tensor:
        """Return the :meth:`weighted_sum` by :meth:`weights`, ``(B, S, H * D)``; the softmax is in fp32."""
        hidden = bias < 0
        if bias.shape[0] == 1:
            hidden = hidden.reshape(bias.shape[2:])
        return self.merge(self.kernel(query, key, value, hidden, scale))  # type: ignore[misc]  # checked by can_fuse

    def write(self, cache: Parameter, slots: Tensor, new: Tensor) -> Tensor:
        """Write new keys or values into a cache, in place, and return all of it.

        Args:
            cache: A parameter of shape ``(B * H * C, D)``.
            slots: ``(B * H * S,)`` int32, from :func:`mf_core.generation.cache.cache_slots`.
            new: ``(B, H, S, D)``.

        Returns:
            ``(B, H, C, D)``.
        """
        batch, heads, _, size = new.shape
        rows = new.reshape((-1, size))
        if self.write_kernel is not None and new.dtype == mstype.float32:
            return self.write_kernel(cache, slots, rows).reshape((batch, heads, -1, size))
        return ops.scatter_update(cache, slots, rows).reshape((batch, heads, -1, size))

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, num_heads: int, *, dtype: Any,
        dropout: nn.Cell | None = None, soft_cap: float | None = None, sinks: Parameter | None = None,
    ) -> Tensor:  # fmt: skip
        """Return ``softmax(query @ key.T * scale + bias) @ value`` for each head: ``(B, S, H * D)``.

        One kernel of the backend computes all of it where it takes these arguments.

        Args:
            query: ``(B, S, H * D)``, as a linear layer returns it, not yet split into heads.
            key, value: ``(B, T, G * D)``; G divides H: ``H / G`` heads share a key.
            bias: ``(B or 1, 1 or H, S, T)``: 0 where a query may attend, ``MASKED`` elsewhere; or more, as ALiBi adds.
            scale: Usually ``1 / sqrt(D)``.
            num_heads: H.
            dtype: Type of the softmax.
            dropout: For the weights.
            soft_cap: Scores become ``soft_cap * tanh(score / soft_cap)`` before the bias is added (Gemma 2).
            sinks: ``(H,)``; the score of one more key for each head, which has no value (gpt-oss).
        """
        dropping = dropout is not None and dropout.training and dropout.p > 0
        plain = soft_cap is None and sinks is None and bias.shape[1] == 1
        if self.self_kernel is not None and plain and not dropping and self.is_plain(query, dtype):
            return self.self_kernel(query, key, value, bias, num_heads, scale)
        groups = key.shape[-1] // (query.shape[-1] // num_heads)
        query, key, value = self.split(query, num_heads), self.split(key, groups), self.split(value, groups)
        return self.sdpa(query, key, value, bias, scale, dtype, dropout if dropping else None, soft_cap, sinks)

    def attend_cached(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, num_heads: int, cache: LayerCache,
        *, dtype: Any, soft_cap: float | None = None, sinks: Parameter | None = None,
    ) -> Tensor:  # fmt: skip
        """Write keys and values to a layer's cache, and attend to all of it: ``(B, S, H * D)``.

        In ``construct``, choose between this and :meth:`attend` by ``if`` and ``else``: MindSpore cannot always
        differentiate a return from inside a branch.

        Args:
            query, key, value, scale, num_heads, dtype, soft_cap, sinks: See :meth:`attend`.
            bias: ``(B, 1 or H, S, C)``; see :func:`mf_core.generation.cache.cache_bias`.
            cache: The layer's slots, keys and values; see :data:`LayerCache`.
        """
        slots, keys, values = cache
        plain = soft_cap is None and sinks is None and bias.shape[1] == 1
        if self.cached_kernel is not None and plain and self.is_plain(query, dtype):
            return self.cached_kernel(query, key, value, bias, slots, keys, values, scale)
        groups = key.shape[-1] // (query.shape[-1] // num_heads)
        key = self.write(keys, slots, self.split(key, groups))
        value = self.write(values, slots, self.split(value, groups))
        return self.sdpa(self.split(query, num_heads), key, value, bias, scale, dtype, None, soft_cap, sinks)

    def is_plain(self, query: Tensor, dtype: Any) -> bool:
        """Return whether the kernels for fp32 take this."""
        plain: bool = query.dtype == mstype.float32 and dtype == mstype.float32
        return plain and not self.by_compiler

    def sdpa(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, dtype: Any,
        dropout: nn.Cell | None = None, soft_cap: float | None = None, sinks: Parameter | None = None,
    ) -> Tensor:  # fmt: skip
        """Scaled dot-product attention: :meth:`attend` of ``(B, H, S, D)``, with keys and values ``(B, G, T, D)``.

        Values may have another width than keys.

        ``dropout`` drops some weights; None: all are kept.
        """
        shape, groups = query.shape, key.shape[1]
        shared = shape[1] // groups
        plain = soft_cap is None and sinks is None and bias.shape[1] == 1
        if shared == 1 and plain and self.can_fuse(query, dropout is not None):
            return self.fuse(query, key, value, bias, scale)
        if sinks is not None:
            sinks = ops.broadcast_to(sinks.reshape((1, shape[1], 1, 1)), (shape[0], shape[1], shape[2], 1))
        if shared > 1:  # the heads of a group are one head with more queries to the keys that they share
            query = query.reshape((shape[0], groups, shared * shape[2], shape[3]))
            if bias.shape[1] > 1:
                bias = bias.reshape((bias.shape[0], groups, shared * shape[2], bias.shape[3]))
            else:
                bias = ops.concat([bias] * shared, 2)
            if sinks is not None:
                sinks = sinks.reshape((shape[0], groups, shared * shape[2], 1))
        weights = self.weights(query, key, bias, scale, dtype, soft_cap, sinks)
        summed = self.sums(weights if dropout is None else dropout(weights), value)
        return self.merge(summed.reshape(shape[:3] + (-1,)) if shared > 1 else summed)


class CausalBias(nn.Cell):
    """The bias of scores by which tokens attend to themselves and to earlier tokens, and never to padding."""

    operators: ClassVar[Operators] = {
        "earlier": ("- -", "- -"),
        "seen": ("mask - - -", ""),
        "both": ("- - - -", "mask - - -"),
        "hidden": ("", "mask - - -"),
        "masked": ("mask - - -", ""),
    }

    def __init__(self) -> None:
        super().__init__()
        self.earlier, self.seen, self.both = ops.LessEqual(), ops.NotEqual(), ops.LogicalAnd()
        self.hidden, self.masked = ops.Sub(), ops.Mul()

    def construct(self, attention_mask: Tensor | None, length: int) -> Tensor:
        """Return the bias.

        Args:
            attention_mask: ``(B, length)``, 1 for tokens; or ``(B, length, length)``, 1 where a query (second axis) may
                see a key (third axis), as for documents packed into one row; None: no padding.
            length: S.

        Returns:
            ``(B or 1, 1, length, length)`` fp32.
        """
        positions = ops.arange(length)
        visible = self.earlier(positions.reshape((1, -1)), positions.reshape((-1, 1))).reshape((1, 1, length, length))
        if attention_mask is not None:
            shape = (-1, 1, 1, length) if attention_mask.ndim == 2 else (-1, 1, length, length)
            visible = self.both(visible, self.seen(attention_mask.reshape(shape), 0))
        return self.masked(self.hidden(1.0, ops.cast(visible, mstype.float32)), MASKED)


class PaddingBias(nn.Cell):
    """The bias of scores by which tokens attend to all tokens, and never to padding."""

    operators: ClassVar[Operators] = {"hidden": ("", "mask - - -"), "masked": ("mask - - -", "")}

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.masked = ops.Sub(), ops.Mul()

    def construct(self, attention_mask: Tensor | None, length: int) -> Tensor:
        """Return the bias, ``(B or 1, 1, length, length)`` fp32.

        Args:
            attention_mask: ``(B, length)``, 1 for tokens and 0 for padding; None: no padding.
            length: S.
        """
        if attention_mask is None:
            return ops.zeros((1, 1, length, length), mstype.float32)
        shape = (attention_mask.shape[0], 1, length, length)
        hidden = self.hidden(1.0, ops.cast(attention_mask != 0, mstype.float32)).reshape((-1, 1, 1, length))
        return ops.broadcast_to(self.masked(hidden, MASKED), shape)


class WindowBias(nn.Cell):
    """Restricts a bias to the ``window`` last keys of each query, its own included (Beltagy et al., 2020)."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def construct(self, bias: Tensor, query_slots: Tensor) -> Tensor:
        """Return the restricted bias, ``(B or 1, 1, S, T)`` fp32.

        Args:
            bias: ``(B or 1, 1, S, T)``, from :class:`CausalBias` or of a cache.
            query_slots: ``(B or 1, S)`` int32: which of the T keys is the query's own.
        """
        if self.window >= bias.shape[-1]:
            return bias
        shape = (max(bias.shape[0], query_slots.shape[0]), 1, bias.shape[2], bias.shape[3])
        keys = ops.broadcast_to(ops.cast(ops.arange(shape[3]), mstype.int32).reshape((1, 1, 1, -1)), shape)
        oldest = ops.broadcast_to((query_slots - self.window).reshape((-1, 1, shape[2], 1)), shape)
        outside = ops.cast(ops.less_equal(keys, oldest), mstype.float32) * MASKED
        return ops.minimum(ops.broadcast_to(bias, shape), outside)


_ATTENTION, _CAUSAL_BIAS = Attention(), CausalBias()


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """See :meth:`Attention.split`."""
    return _ATTENTION.split(x, num_heads)


def merge_heads(x: Tensor) -> Tensor:
    """See :meth:`Attention.merge`."""
    return _ATTENTION.merge(x)


def attention_weights(query: Tensor, key: Tensor, bias: Tensor, scale: float, dtype: Any) -> Tensor:
    """See :meth:`Attention.weights`."""
    return _ATTENTION.weights(query, key, bias, scale, dtype)


def causal_bias(attention_mask: Tensor | None, length: int) -> Tensor:
    """See :class:`CausalBias`."""
    return _CAUSAL_BIAS(attention_mask, length)


def write_cache(cache: Parameter, slots: Tensor, new: Tensor) -> Tensor:
    """See :meth:`Attention.write`."""
    return _ATTENTION.write(cache, slots, new)


def positions(attention_mask: Tensor) -> Tensor:
    """Return each token's position, counted without padding: ``(B, S)`` int32; 0 on padding before the text."""
    counted = ops.cumsum(ops.cast(attention_mask, mstype.int32), 1) - 1
    return ops.cast(ops.maximum(counted, ops.zeros_like(counted)), mstype.int32)
