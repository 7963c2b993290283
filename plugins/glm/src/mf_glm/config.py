"""The hyper-parameters of GLM-4."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, FeedForwardSpec, LayerSpec, RotarySpec

Positive = Annotated[int, Field(gt=0)]


class GlmConfig(DecoderConfig):
    """Configuration of GLM-4 (GLM Team, 2024): half of each head is rotated, in pairs of neighbours."""

    model_type: ClassVar[str] = "glm"
    unused: ClassVar[frozenset[str]] = frozenset({"mlp_bias", "sliding_window", "layer_types"})

    vocab_size: Positive = 151552
    hidden_size: Positive = 4096
    num_layers: Positive = 40
    num_heads: Positive = 32
    num_key_value_heads: Positive | None = 2
    head_dim: Positive | None = 128
    intermediate_size: Positive = 13696
    seq_length: Positive = 131072
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1.5625e-07
    attention_bias: bool = True
    eos_token_id: TokenIds = Field(default_factory=lambda: [151329, 151336, 151338])
    pad_token_id: TokenId = 151329

    def rotary_spec(self, layer: int) -> RotarySpec:
        """See the base class."""
        return replace(super().rotary_spec(layer), interleaved=True)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), output_bias=False)

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        return replace(super().feed_forward_spec(layer), fused=True)


class Glm4Config(GlmConfig):
    """Configuration of GLM-4-0414: norms before and after each sublayer."""

    model_type: ClassVar[str] = "glm4"

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        return replace(super().layer_spec(layer), norms="sandwich")
