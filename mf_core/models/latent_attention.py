"""Attention whose keys and values are made of a latent of each token (DeepSeek-AI, 2024, "DeepSeek-V2", section 2.1).

The cache has the latents, and the rotated keys that all heads share. A pass over the cache makes no keys and values of
them: the projections that would are applied to queries and to the weighted sums of latents instead, which gives the
same (appendix C).

Shapes: B batch, S tokens, H heads, E hidden size, C slots of the cache, R width of a latent, N and P plain and rotated
elements of a head of queries and keys, W width of a head of values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ..nn import Attention, Dropout, HeadDropout, LayerCache, Linear, Operators, Rotary, ms_dtype
from ..nn.parallel import Copy, GatherPositions
from .layer_spec import LayerSpec
from .parts import NamedParts, Part, make_norm, python_property

if TYPE_CHECKING:
    from ..backends.collectives import Collectives


class LatentAttention(NamedParts):
    """Masked multi-head attention over latents, with its projections.

    Args:
        spec: The layer's declaration; ``spec.attention.latent`` is set.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.

    Attributes:
        num_heads: H; where heads are split over processes, this process's.
    """

    query, query_down, query_latent_norm, query_up = Part(), Part(), Part(), Part()
    latent, latent_norm, latent_up, output = Part(), Part(), Part(), Part()

    operators: ClassVar[Operators] = {}

    def __init__(self, spec: LayerSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        attention, latent = spec.attention, spec.attention.latent
        assert latent is not None
        heads, width = attention.heads, attention.head_dim
        self.num_heads, self.rank, self.value_width = heads, latent.rank, latent.value_width
        self.rotary_width, self.plain_width = latent.rotary_width, width - latent.rotary_width
        self.scale = width**-0.5 if attention.scale is None else attention.scale
        self.softmax_dtype = None if attention.softmax_dtype is None else ms_dtype(attention.softmax_dtype)
        whole = ["latent", "latent_norm"]

        def linear(inputs: int, outputs: int, *, column: bool) -> Linear:
            return Linear(
                inputs, outputs, std=spec.std, bias=attention.bias and not column, param_dtype=spec.param_dtype,
                dtype=dtype, outputs_first=spec.outputs_first, role="column" if column else None,
            )  # fmt: skip

        if latent.query_rank is None:
            self.add_part("query", linear(spec.width, heads * width, column=True))
        else:
            self.add_part("query_down", linear(spec.width, latent.query_rank, column=False))
            self.add_part("query_latent_norm", make_norm(latent.norm, latent.query_rank, spec.param_dtype))
            self.add_part("query_up", linear(latent.query_rank, heads * width, column=True))
            whole += ["query_down", "query_latent_norm"]
        self.add_part("latent", linear(spec.width, latent.rank + latent.rotary_width, column=False))
        self.add_part("latent_norm", make_norm(latent.norm, latent.rank, spec.param_dtype))
        made = self.plain_width + latent.value_width
        self.add_part("latent_up", linear(latent.rank, heads * made, column=True))
        self.add_part("output", Linear(
            heads * latent.value_width, spec.width, std=spec.output_std or spec.std, bias=attention.output_bias,
            param_dtype=spec.param_dtype, dtype=dtype, outputs_first=spec.outputs_first, role="row",
        ))  # fmt: skip
        #: Roles of the linear layers that get LoRA adapters unless said otherwise.
        self.adapted = ("query" if latent.query_rank is None else "query_up", "latent_up")
        self.role, self.whole = "heads", tuple(self.names[role] for role in whole)  # see plan_from_roles
        rotary = attention.rotary
        self.rotary = None if rotary is None else Rotary(
            latent.rotary_width, length, frequencies=rotary.frequencies, scale=rotary.scale,
            interleaved=rotary.interleaved, long_frequencies=rotary.long_frequencies,
        )  # fmt: skip
        self.enter: Copy | GatherPositions | None = None
        self.core = Attention()
        self.product, self.product_transposed = ops.BatchMatMul(), ops.BatchMatMul(transpose_b=True)
        self.weight_dropout, self.dropout = HeadDropout(attention.dropout), Dropout(spec.dropout)

    def construct(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: LayerCache | None = None,
        query_input: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return ``(B, S, E)``; see :meth:`mf_core.models.SelfAttention.construct`."""
        query = x if query_input is None else query_input
        query = self.query(query) if self.query_down is None else self.query_up(
            self.query_latent_norm(self.query_down(query))
        )  # fmt: skip
        latent, rotated = ops.split(self.latent(x), (self.rank, self.rotary_width), -1)
        latent = self.latent_norm(latent)
        if self.enter is not None:
            rotated = self.enter(rotated)
        batch, length = query.shape[0], query.shape[1]
        query = query.reshape((batch, length, self.num_heads, self.plain_width + self.rotary_width))
        plain, turned = ops.split(query, (self.plain_width, self.rotary_width), -1)
        if self.rotary is not None:
            turned = self.rotary(turned.reshape((batch, length, -1)), position_ids).reshape(turned.shape)
            rotated = self.rotary(rotated, position_ids)
        dtype = self.softmax_dtype
        if dtype is None:
            dtype = mstype.float16 if query.dtype == mstype.float16 else mstype.float32
        if cache is not None:
            slots, latents, keys = cache
            latent = self.core.write(latents, slots, latent.reshape((batch, 1, length, self.rank)))
            rotated = self.core.write(keys, slots, rotated.reshape((batch, 1, length, self.rotary_width)))
            latent, rotated = latent.reshape((batch, -1, self.rank)), rotated.reshape((batch, -1, self.rotary_width))
        if cache is not None and self.absorbs:
            attended = self.attend_latents(plain, turned, latent, rotated, bias, dtype)
        else:
            attended = self.attend(plain, turned, latent, rotated, bias, dtype)
        return self.dropout(self.output(attended))

    @python_property
    def absorbs(self) -> bool:
        """Whether the weight that makes keys and values is one that can be applied to queries: it is no adapter's."""
        return type(self.latent_up) is Linear and self.latent_up.enter is None

    def attend(
        self, plain: Tensor, turned: Tensor, latent: Tensor, rotated: Tensor, bias: Tensor, dtype: mstype
    ) -> Tensor:
        """Attend to keys and values that are made of latents: ``(B, S, H * W)``.

        Args:
            plain, turned: Of the queries, ``(B, S, H, N)`` and ``(B, S, H, P)``.
            latent, rotated: ``(B, T, R)`` and ``(B, T, P)``.
            bias: ``(B or 1, 1, S, T)``.
            dtype: Type of the softmax.
        """
        made = self.latent_up(latent)
        batch, length = made.shape[0], made.shape[1]
        made = made.reshape((batch, length, self.num_heads, self.plain_width + self.value_width))
        key, value = ops.split(made, (self.plain_width, self.value_width), -1)
        shape = (batch, length, self.num_heads, self.rotary_width)
        key = ops.concat((key, ops.broadcast_to(rotated.expand_dims(2), shape)), -1)
        query = ops.concat((plain, turned), -1)
        query = query.reshape((query.shape[0], query.shape[1], -1))
        key, value = key.reshape((batch, length, -1)), value.reshape((batch, length, -1))
        return self.core.sdpa(
            self.core.split(query, self.num_heads), self.core.split(key, self.num_heads),
            self.core.split(value, self.num_heads), bias, self.scale, dtype,
            self.weight_dropout if self.training and self.weight_dropout.p > 0 else None,
        )  # fmt: skip

    def attend_latents(
        self, plain: Tensor, turned: Tensor, latent: Tensor, rotated: Tensor, bias: Tensor, dtype: mstype
    ) -> Tensor:
        """The same by attending to the latents themselves, which all heads share as keys and as values."""
        batch, length, heads = plain.shape[0], plain.shape[1], self.num_heads
        weight = ops.cast(self.latent_up.weight, plain.dtype)
        weight = weight if self.latent_up.outputs_first else weight.T
        weight = weight.reshape((heads, self.plain_width + self.value_width, self.rank))
        to_keys, to_values = ops.split(weight, (self.plain_width, self.value_width), 1)
        query = ops.transpose(plain.reshape((batch * length, heads, -1)), (1, 0, 2))
        query = self.product(query, to_keys).reshape((heads, batch, length, self.rank))
        query = ops.concat((ops.transpose(query, (1, 0, 2, 3)), ops.transpose(turned, (0, 2, 1, 3))), -1)
        key = ops.concat((latent, rotated), -1).expand_dims(1)
        summed = self.core.sdpa(query, key, latent.expand_dims(1), bias, self.scale, dtype)
        summed = ops.transpose(summed.reshape((batch * length, heads, self.rank)), (1, 0, 2))
        values = ops.transpose(self.product_transposed(summed, to_values), (1, 0, 2))
        return values.reshape((batch, length, -1))

    def shard_heads(self, group: Collectives, *, positions: bool) -> None:
        """See :meth:`mf_core.models.SelfAttention.shard_heads`.

        Latents are whole in each process; the gradients of the rotated keys are summed here, those of latents where
        layers whose outputs are split read them.
        """
        self.enter = GatherPositions(group) if positions else Copy(group)
