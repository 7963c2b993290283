"""A decoder layer as its declaration describes it: the plain forward pass, and the arguments of one fused kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..nn import Attention, LayerCache, LayerNorm, Linear, Operators, RMSNorm
from ..nn.activations import FastGelu, GeluTanh, Silu
from ..nn.kernels import kernel
from ..nn.weight_only import WeightOnlyLinear
from .experts import MixtureOfExperts, Router
from .feed_forward import FeedForward
from .layer_spec import LayerSpec
from .parts import NamedParts, Part, make_norm, python_property
from .self_attention import SelfAttention

#: Norms of a layer, by where they stand: role -> whether the declaration has it.
_NORMS: Mapping[str, tuple[str, ...]] = {
    "pre": ("attention_norm", "feed_forward_norm"),
    "output": ("attention_output_norm", "feed_forward_output_norm"),
    "sandwich": ("attention_norm", "attention_output_norm", "feed_forward_norm", "feed_forward_output_norm"),
    "post": ("attention_norm", "feed_forward_norm"),
    "parallel": ("attention_norm", "feed_forward_norm"),
    "parallel_shared": ("attention_norm",),
}


class DecoderLayer(NamedParts):
    """Attention and a feed-forward layer, with norms and residuals around them.

    In generation, a pass over the cache is one kernel of the backend's where it computes all that the layer is made of
    (:attr:`fused`). Both ways give the same, to rounding.

    Args:
        spec: The declaration.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
    """

    attention, feed_forward = Part(), Part()
    attention_norm, attention_output_norm = Part(), Part()
    feed_forward_norm, feed_forward_output_norm = Part(), Part()

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, spec: LayerSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        norms = _NORMS[spec.norms]
        for role in ("attention_norm", "attention_output_norm"):
            if role in norms:
                self.add_part(role, make_norm(spec.norm, spec.width, spec.param_dtype))
        self.add_part("attention", self.make_attention(spec, length, dtype))
        for role in ("feed_forward_norm", "feed_forward_output_norm"):
            if role in norms:
                self.add_part(role, make_norm(spec.norm, spec.width, spec.param_dtype))
        self.add_part("feed_forward", self.make_feed_forward(spec, dtype))
        self.add = ops.Add()
        self.norms, self.is_parallel = spec.norms, spec.norms in ("parallel", "parallel_shared")
        self.norms_inputs, self.norms_outputs = spec.norms in ("pre", "sandwich"), spec.norms in ("output", "sandwich")
        self.norms_sums = spec.norms == "post"
        self.normed_residual, self.multiplier = spec.normed_residual, spec.residual_multiplier
        self.has_experts = spec.feed_forward.experts is not None
        self.layer_kernel: Any = kernel("decoder_layer")

    def make_attention(self, spec: LayerSpec, length: int, dtype: str) -> nn.Cell:
        """Return the layer's attention; for subclasses whose attention is of another kind."""
        return SelfAttention(spec, length, self.names, dtype)

    def make_feed_forward(self, spec: LayerSpec, dtype: str) -> nn.Cell:
        """Return the layer's feed-forward part: one layer, or experts."""
        experts = spec.feed_forward.experts
        if experts is None:
            return FeedForward(spec, self.names, dtype)
        router = Router(
            spec.width, experts.count, experts.chosen, std=spec.std, param_dtype=spec.param_dtype,
            normalize=experts.normalize, outputs_first=experts.outputs_first,
        )  # fmt: skip
        shared = None if experts.shared is None else FeedForward(spec, self.names, dtype, experts.shared)
        gate = Linear(
            spec.width, 1, std=spec.std, bias=False, param_dtype=spec.param_dtype, dtype=dtype,
            outputs_first=spec.outputs_first,
        ) if experts.shared_gate else None  # fmt: skip
        each = [FeedForward(spec, self.names, dtype) for _ in range(experts.count)]
        return MixtureOfExperts(router, each, self.names, shared_expert=shared, shared_expert_gate=gate)

    def construct(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: LayerCache | None = None,
        counted: Tensor | None = None, query_input: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Return ``(B, Q, E)``; with experts and ``counted``, also the loss that balances them.

        Args:
            x: ``(B, S, E)``.
            position_ids: ``(B, S)`` int32.
            bias: ``(B or 1, 1 or H, Q, T)``: 0 where a query may attend.
            cache: The layer's; None: the tokens of this call attend to each other.
            counted: ``(B, S)`` fp32, 1 for tokens and 0 for padding; None: no loss is wanted.
            query_input: ``(B, Q, E)``, what queries are made of, for the last Q tokens; None: of the normed ``x``.
        """
        if self.can_fuse(x, cache):
            return self.fuse(x, position_ids, bias, cache, query_input)
        return self.compute(x, position_ids, bias, cache, counted, query_input)

    def compute(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: LayerCache | None, counted: Tensor | None,
        query_input: Tensor | None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Do it cell by cell; a method of its own, which graphs that have the kernel need not parse."""
        if self.is_parallel:
            normed = self.attention_norm(x)
            attended = self.attention(normed, position_ids, bias, cache, query_input)
            if self.feed_forward_norm is not None:
                normed = self.feed_forward_norm(x)
            fed, loss = self.feed(normed, counted)
            y = self.add(x, self.scale(self.add(attended, fed)))
        else:
            normed = self.attention_norm(x) if self.norms_inputs else x
            attended = self.attention(normed, position_ids, bias, cache, query_input)
            if self.norms_outputs:
                attended = self.attention_output_norm(attended)
            residual = normed if self.normed_residual else x
            if attended.shape[1] != residual.shape[1]:
                residual = residual[:, -attended.shape[1] :]
            x = self.add(residual, self.scale(attended))
            if self.norms_sums:
                x = self.attention_norm(x)
            normed = self.feed_forward_norm(x) if self.norms_inputs else x
            fed, loss = self.feed(normed, counted)
            if self.norms_outputs:
                fed = self.feed_forward_output_norm(fed)
            y = self.add(normed if self.normed_residual else x, self.scale(fed))
            if self.norms_sums:
                y = self.feed_forward_norm(y)
        return y if loss is None else (y, loss)

    def feed(self, normed: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what the feed-forward part makes of ``(B, Q, E)``, and the experts' loss where it is wanted."""
        if self.has_experts and counted is not None:
            fed, loss = self.feed_forward(normed, counted)
            return fed, loss
        return self.feed_forward(normed), None

    def scale(self, added: Tensor) -> Tensor:
        """Return what a sublayer adds, times the declared factor."""
        return added if self.multiplier == 1 else added * self.multiplier

    @python_property
    def fused(self) -> tuple[Any, ...] | None:
        """The kernel's arguments that are the same in every pass; None: the kernel does not compute such a layer.

        So where the declaration has a part that the kernel lacks, where anything is split over processes or of another
        type, and where the layer has a parameter that the kernel would not see, such as an adapter's.
        """
        attention, feed = self.attention, self.feed_forward
        if self.layer_kernel is None or self.norms != "pre" or self.multiplier != 1:
            return None
        if type(attention) is not SelfAttention or type(feed) is not FeedForward:
            return None
        norms = (self.attention_norm, self.feed_forward_norm)
        separate = attention.fused is None
        inputs = (attention.query, attention.key, attention.value) if separate else (attention.query_key_value,)
        ups = (feed.gate, feed.up) if feed.is_gated else (feed.up,)
        if feed.is_fused or not (_is_plain_attention(attention) and all(map(_is_plain_norm, norms))):
            return None
        projections = (*inputs, attention.output, *ups, feed.down)
        if type(feed.act) not in (GeluTanh, FastGelu, Silu) or not all(map(_is_plain, projections)):
            return None
        seen = {id(p) for cell in (*norms, *projections) for p in cell.get_parameters()}
        if {id(p) for p in self.get_parameters()} != seen:
            return None
        arguments = (
            tuple(map(_projection, inputs)), _projection(attention.output), tuple(map(_projection, ups)),
            _projection(feed.down),
        )  # fmt: skip
        rotary, beta = attention.rotary, getattr(feed.act, "beta", None)
        angles = None if rotary is None else (rotary.cos, rotary.sin)
        return tuple(map(_norm, norms)), arguments, angles, beta, attention.scale, self.normed_residual

    def can_fuse(self, x: Tensor, cache: LayerCache | None) -> bool:
        """Return whether a kernel computes this pass: over a cache, of ``x``, ``(B, S, E)``, in fp32."""
        if cache is None or self.training or x.dtype != mstype.float32:
            return False
        return self.fused is not None

    def fuse(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: LayerCache | None, query_input: Tensor | None
    ) -> Tensor:
        """Return what ``construct`` does, by the kernel."""
        norms, projections, angles, beta, scale, normed_residual = self.fused
        rotary = None if angles is None else (ops.cast(position_ids, mstype.int32), *angles)
        slots, keys, values = cache  # type: ignore[misc]  # can_fuse has seen that there is one
        return self.layer_kernel(
            x, query_input, bias, slots, keys, values, norms, projections, rotary, beta, scale, normed_residual
        )


def _is_plain_attention(cell: SelfAttention) -> bool:
    """Return whether the kernel computes all that attention is made of, whole and in fp32."""
    core, rotary = cell.core, cell.rotary
    plain = type(core) is Attention and not core.by_compiler and cell.softmax_dtype in (None, mstype.float32)
    others = cell.query_norm is None and cell.sinks is None and cell.soft_cap is None and cell.fused != "by_head"
    return plain and others and not cell.has_alibi and (rotary is None or rotary.is_plain)


def _is_plain_norm(cell: nn.Cell) -> bool:
    known = type(cell) is RMSNorm and cell.offset == 0 and cell.total is None
    known = known or (type(cell) is LayerNorm and cell.bias is not None and not cell.by_compiler)
    return known and cell.dtype == cell.weight.dtype == mstype.float32


def _is_plain(cell: nn.Cell) -> bool:
    if type(cell) is WeightOnlyLinear:
        known = True
    elif type(cell) is Linear:
        whole = cell.enter is None and cell.leave is None and not cell.by_compiler
        known = whole and cell.weight.dtype == mstype.float32
    else:
        known = False
    return known and cell.dtype == mstype.float32 and (cell.bias is None or cell.bias.dtype == mstype.float32)


def _norm(cell: nn.Cell) -> tuple[Any, ...]:
    return cell.weight, getattr(cell, "bias", None), cell.epsilon


def _projection(cell: nn.Cell) -> tuple[Any, ...]:
    if type(cell) is WeightOnlyLinear:
        return cell.weight, cell.scale, cell.bias, True, False
    return cell.weight, None, cell.bias, cell.outputs_first, cell.compute_dtype == "bfloat16"
