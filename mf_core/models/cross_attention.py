"""Attention of a decoder to the output of an encoder.

Shapes: B batch, S tokens, M tokens of the source, H heads, G key-value heads, D head width, E hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from .layer_spec import LayerSpec
from .self_attention import SelfAttention

#: What a layer attends to: keys and values ``(B, G, M, D)`` of a source, and the bias ``(B or 1, 1, 1, M)``.
Memory = tuple[Tensor, Tensor, Tensor]


class CrossAttention(SelfAttention):
    """Multi-head attention with its projections, whose keys and values are made of an encoder's output.

    Args:
        spec: The layer's declaration, with a ``cross_attention``.
        length: Longest sequence.
        names: See :class:`mf_core.models.parts.NamedParts`.
        dtype: Type of the products.
    """

    def __init__(self, spec: LayerSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        assert spec.cross_attention is not None
        super().__init__(replace(spec, attention=spec.cross_attention), length, names, dtype)

    def keys_and_values(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(B, G, M, D)`` each, of an encoder's output ``(B, M, E)``."""
        return self.core.split(self.key(hidden), self.groups), self.core.split(self.value(hidden), self.groups)

    def construct(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]
        """Return ``(B, S, E)`` for ``(B, S, E)``."""
        key, value, bias = memory
        query = self.core.split(self.query(x), self.num_heads)
        bias = ops.broadcast_to(bias, (query.shape[0], 1, query.shape[2], key.shape[2]))
        dtype = self.softmax_dtype
        if dtype is None:
            dtype = mstype.float16 if query.dtype == mstype.float16 else mstype.float32
        if self.training:
            attended = self.core.sdpa(query, key, value, bias, self.scale, dtype, self.weight_dropout)
        else:
            attended = self.core.sdpa(query, key, value, bias, self.scale, dtype)
        return self.dropout(self.output(attended))
