"""Self-attention as a layer's declaration describes it.

Shapes: B batch, S tokens, H heads, G key-value heads, D head width, E hidden size, T keys (S, or slots of the cache).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ..nn import (
    Attention,
    Dropout,
    HeadDropout,
    LayerCache,
    Linear,
    Operators,
    Rotary,
    SumBoth,
    ms_dtype,
    parameter,
)
from .layer_spec import LayerSpec
from .parts import NamedParts, Part, make_norm

if TYPE_CHECKING:
    from ..backends.collectives import Collectives


class SelfAttention(NamedParts):
    """Masked multi-head attention with its projections, over the tokens of a call or over a cache.

    Args:
        spec: The layer's declaration.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.

    Attributes:
        num_heads: H; where heads are split over processes, this process's.
    """

    query, key, value, query_key_value, output = Part(), Part(), Part(), Part(), Part()
    query_norm, key_norm, sinks = Part(), Part(), Part()

    operators: ClassVar[Operators] = {"split": ("rows - -",)}

    def __init__(self, spec: LayerSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        attention, kind, first = spec.attention, spec.param_dtype, spec.outputs_first
        size, heads, groups = attention.head_dim, attention.heads, attention.key_value_heads
        self.num_heads, self.groups, self.head_dim = heads, groups, size
        self.scale = size**-0.5 if attention.scale is None else attention.scale
        self.softmax_dtype = None if attention.softmax_dtype is None else ms_dtype(attention.softmax_dtype)
        self.soft_cap, self.fused, self.has_alibi = attention.soft_cap, attention.fused, attention.alibi

        def linear(outputs: int, fused: int | tuple[int, ...] = 1, std: float | None = None) -> Linear:
            return Linear(
                spec.width, outputs, std=std or spec.std, bias=attention.bias, param_dtype=kind, dtype=dtype,
                outputs_first=first, role="column", fused=fused,
            )  # fmt: skip

        if attention.fused is not None:
            sizes = 3 if heads == groups else (heads, groups, groups)
            beside = attention.fused == "beside"
            self.add_part("query_key_value", linear((heads + 2 * groups) * size, sizes if beside else 1))
        else:
            self.add_part("query", linear(heads * size, std=attention.query_std))
            self.add_part("key", linear(groups * size))
            self.add_part("value", linear(groups * size))
        self.add_part("output", Linear(
            heads * size, spec.width, std=spec.output_std or spec.std, bias=attention.output_bias, param_dtype=kind,
            dtype=dtype, outputs_first=first, role="row",
        ))  # fmt: skip
        self.norm_per_head = attention.norm_per_head
        if attention.query_key_norm is not None:
            each = attention.norm_per_head
            self.add_part("query_norm", make_norm(attention.query_key_norm, size if each else heads * size, kind))
            self.add_part("key_norm", make_norm(attention.query_key_norm, size if each else groups * size, kind))
        if attention.sinks:
            self.add_part("sinks", parameter((heads,), ("normal", spec.std), kind))
        by_head = [self.names["sinks"]] if attention.sinks else []
        if attention.query_key_norm is not None and not attention.norm_per_head:
            by_head += [f"{self.names[role]}.weight" for role in ("query_norm", "key_norm")]
        #: Roles of the linear layers that get LoRA adapters unless said otherwise.
        self.adapted = ("query", "value") if attention.fused is None else ("query_key_value",)
        self.head_group: Collectives | None = None
        self.role, self.by_head = "heads", tuple(by_head)  # see mf_core.parallel.plan.plan_from_roles
        rotary = attention.rotary
        self.rotary = None if rotary is None else Rotary(
            size, length, frequencies=rotary.frequencies, scale=rotary.scale, interleaved=rotary.interleaved,
            long_frequencies=rotary.long_frequencies,
        )  # fmt: skip
        self.split = ops.Split(-1, 3) if attention.fused == "beside" and heads == groups else None
        self.core = Attention(fused=True)
        self.weight_dropout, self.dropout = HeadDropout(attention.dropout), Dropout(spec.dropout)

    def construct(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: LayerCache | None = None,
        query_input: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return ``(B, Q, E)``.

        Args:
            x: ``(B, S, E)``, what keys and values are made of.
            position_ids: ``(B, S)`` int32, for rotary positions.
            bias: ``(B or 1, 1 or H, Q, T)``.
            cache: The layer's, to which new keys and values are written and which is attended to; None: the tokens
                of this call are.
            query_input: ``(B, Q, E)``, what queries are made of; None: ``x``, and Q is S.
        """
        if self.fused is None:
            query, key, value = self.query(x if query_input is None else query_input), self.key(x), self.value(x)
        else:
            query, key, value = self.split_projection(self.query_key_value(x))
        if self.query_norm is not None:
            query, key = self.normalize(self.query_norm, query), self.normalize(self.key_norm, key)
        if self.rotary is not None:
            query, key = self.rotary(query, position_ids), self.rotary(key, position_ids)
        if self.has_alibi and self.head_group is not None:
            bias = own_heads(self.head_group, bias)
        dtype = self.softmax_dtype
        if dtype is None:
            dtype = mstype.float16 if query.dtype == mstype.float16 else mstype.float32
        if cache is None:
            attended = self.core.attend(
                query, key, value, bias, self.scale, self.num_heads, dtype=dtype, dropout=self.weight_dropout,
                soft_cap=self.soft_cap, sinks=self.sinks,
            )  # fmt: skip
        else:
            attended = self.core.attend_cached(
                query, key, value, bias, self.scale, self.num_heads, cache, dtype=dtype, soft_cap=self.soft_cap,
                sinks=self.sinks,
            )  # fmt: skip
        return self.dropout(self.output(attended))

    def shard_heads(self, group: Collectives, *, positions: bool) -> None:
        """Keep the heads of one process of a group; ``num_heads`` is their number.

        Args:
            group: The processes.
            positions: Whether activations are split by position outside of this cell.
        """
        self.head_group = group
        if not self.norm_per_head:
            for norm in (self.query_norm, self.key_norm):
                if norm is not None:
                    norm.total = SumBoth(group)

    def split_projection(self, x: Tensor) -> Any:
        """Split the output of the fused projection into queries, keys and values."""
        if self.split is not None:
            return self.split(x)
        size = self.head_dim
        if self.fused == "by_head":
            batch, length, width = x.shape
            shared = self.num_heads // ((width // size - self.num_heads) // 2) + 2
            grouped = x.reshape((batch, length, -1, shared * size))
            query, key, value = ops.split(grouped, ((shared - 2) * size, size, size), -1)
            shape = (batch, length, -1)
            return query.reshape(shape), key.reshape(shape), value.reshape(shape)
        queries = self.num_heads * size
        keys = (x.shape[-1] - queries) // 2
        return ops.split(x, (queries, keys, keys), -1)

    def normalize(self, norm: NamedParts, x: Tensor) -> Tensor:
        """Return queries or keys, ``(B, S, n * D)``, normalised over each head or over all of them."""
        if self.norm_per_head:
            return norm(x.reshape((x.shape[0], x.shape[1], -1, self.head_dim))).reshape(x.shape)
        return norm(x)


def own_heads(group: Collectives, bias: Tensor) -> Tensor:
    """Return the biases ``(B, H / n, S, T)`` of this process's heads, of those of all."""
    heads = bias.shape[1] // group.size
    parts = bias.reshape((bias.shape[0], group.size, -1))
    # Not a slice: its form would differ from process to process.
    own = ops.Gather()(parts, Tensor(group.index, mstype.int32), 1)
    return own.reshape((bias.shape[0], heads, *bias.shape[2:]))


def alibi_slopes(heads: int) -> np.ndarray:
    """Return the slope of each head, ``(H,)`` fp32 (Press et al., 2022, section 3)."""
    nearest = 1 << (heads.bit_length() - 1)

    def powers(count: int, step: int = 1) -> list[float]:
        return [2.0 ** (-8.0 * number / count) for number in range(1, count + 1, step)]

    return np.array([*powers(nearest), *powers(2 * nearest, 2)[: heads - nearest]], np.float32)
