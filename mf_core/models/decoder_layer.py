"""A decoder layer as its declaration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mindspore import Tensor, nn, ops

from ..nn import LayerCache, Linear, Operators
from .cross_attention import CrossAttention, Memory
from .experts import MixtureOfExperts, Router
from .feed_forward import FeedForward
from .latent_attention import LatentAttention
from .layer_spec import LayerSpec
from .parts import NamedParts, Part, make_norm
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

    In generation, a backend may run whole passes by its own kernel (:mod:`mf_core.models.decoder_arrays`), which
    gives the same, to rounding.

    Args:
        spec: The declaration.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
    """

    attention, feed_forward = Part(), Part()
    attention_norm, attention_output_norm = Part(), Part()
    cross_attention, cross_attention_norm = Part(), Part()
    feed_forward_norm, feed_forward_output_norm = Part(), Part()

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, spec: LayerSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        self.norm_roles = norms = _NORMS[spec.norms]
        for role in ("attention_norm", "attention_output_norm"):
            if role in norms:
                self.add_part(role, make_norm(spec.norm, spec.width, spec.param_dtype))
        self.add_part("attention", self.make_attention(spec, length, dtype))
        self.crosses = spec.cross_attention is not None
        if self.crosses:
            self.add_part("cross_attention_norm", make_norm(spec.norm, spec.width, spec.param_dtype))
            self.add_part("cross_attention", CrossAttention(spec, length, self.names, dtype))
        for role in ("feed_forward_norm", "feed_forward_output_norm"):
            if role in norms:
                self.add_part(role, make_norm(spec.norm, spec.width, spec.param_dtype))
        self.add_feed_forward_part(spec, dtype)
        self.add = ops.Add()
        self.norms, self.is_parallel = spec.norms, spec.norms in ("parallel", "parallel_shared")
        self.norms_inputs, self.norms_outputs = spec.norms in ("pre", "sandwich"), spec.norms in ("output", "sandwich")
        self.norms_sums = spec.norms == "post"
        self.normed_residual, self.multiplier = spec.normed_residual, spec.residual_multiplier
        self.has_experts = spec.feed_forward.experts is not None

    def make_attention(self, spec: LayerSpec, length: int, dtype: str) -> nn.Cell:
        """Return the layer's attention; for subclasses whose attention is of another kind."""
        kind = SelfAttention if spec.attention.latent is None else LatentAttention
        return kind(spec, length, self.names, dtype)

    def add_feed_forward_part(self, spec: LayerSpec, dtype: str) -> None:
        """Add the feed-forward part under its name."""
        self.add_part("feed_forward", self.make_feed_forward(spec, dtype))

    def make_feed_forward(self, spec: LayerSpec, dtype: str) -> nn.Cell:
        """Return the layer's feed-forward part: one layer, or experts."""
        experts = spec.feed_forward.experts
        if experts is None:
            return FeedForward(spec, self.names, dtype)
        router = Router(
            spec.width, experts.count, experts.chosen, std=spec.std, param_dtype=spec.param_dtype,
            normalize=experts.normalize, outputs_first=experts.outputs_first, sigmoid=experts.sigmoid,
            correction=experts.correction, groups=experts.groups, chosen_groups=experts.chosen_groups,
            scale=experts.scale,
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
        counted: Tensor | None = None, query_input: Tensor | None = None, memory: Memory | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Return ``(B, Q, E)``; with experts and ``counted``, also the loss that balances them.

        Args:
            x: ``(B, S, E)``.
            position_ids: ``(B, S)`` int32.
            bias: ``(B or 1, 1 or H, Q, T)``: 0 where a query may attend.
            cache: The layer's; None: the tokens of this call attend to each other.
            counted: ``(B, S)`` fp32, 1 for tokens and 0 for padding; None: no loss is wanted.
            query_input: ``(B, Q, E)``, what queries are made of, for the last Q tokens; None: of the normed ``x``.
            memory: Of a layer with cross attention: keys and values of the source, and their bias.
        """
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
            if self.crosses:
                x = self.attend_memory(x, memory)
            normed = self.feed_forward_norm(x) if self.norms_inputs else x
            fed, loss = self.feed(normed, counted)
            if self.norms_outputs:
                fed = self.feed_forward_output_norm(fed)
            y = self.add(normed if self.normed_residual else x, self.scale(fed))
            if self.norms_sums:
                y = self.feed_forward_norm(y)
        return y if loss is None else (y, loss)

    def attend_memory(self, x: Tensor, memory: Memory | None) -> Tensor:
        """Return ``(B, Q, E)`` with what is found in the source added, normed before or after as the layer's others."""
        normed = self.cross_attention_norm(x) if self.norms_inputs else x
        x = self.add(x, self.scale(self.cross_attention(normed, memory)))
        return self.cross_attention_norm(x) if self.norms_sums else x

    def feed(self, normed: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the output of the feed-forward part for ``(B, Q, E)``, and the experts' loss if requested."""
        if self.has_experts and counted is not None:
            fed, loss = self.feed_forward(normed, counted)
            return fed, loss
        return self.feed_forward(normed), None

    def scale(self, added: Tensor) -> Tensor:
        """Return a sublayer's output times the declared factor."""
        return added if self.multiplier == 1 else added * self.multiplier
