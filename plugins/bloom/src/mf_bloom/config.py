"""The hyper-parameters of BLOOM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, DecoderSpec, FeedForwardSpec, LayerSpec, NormSpec

Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class BloomConfig(DecoderConfig):
    """Configuration of BLOOM (BigScience Workshop, 2022); the feed-forward layer is 4 times as wide as the layers.

    Attributes:
        layer_norm_epsilon: Added to variances.
        apply_residual_connection_post_layernorm: Whether residuals are taken after norms.
        attention_dropout: Of attention's weights, in training.
        hidden_dropout: Of the outputs of sublayers, in training.
    """

    model_type: ClassVar[str] = "bloom"
    json_names: ClassVar[Mapping[str, str]] = {
        **DecoderConfig.json_names, "num_layers": "n_layer", "num_heads": "n_head", "seq_length": "seq_length",
        "layer_norm_epsilon": "layer_norm_epsilon",
    }  # fmt: skip
    aliases: ClassVar[Mapping[str, str]] = {
        "num_hidden_layers": "num_layers", "num_attention_heads": "num_heads", "n_embed": "hidden_size",
        "max_position_embeddings": "seq_length", "layer_norm_eps": "layer_norm_epsilon",
    }  # fmt: skip
    unused: ClassVar[frozenset[str]] = frozenset({
        "num_key_value_heads", "head_dim", "intermediate_size", "hidden_act", "rms_norm_eps", "attention_bias",
        "mlp_bias", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "sliding_window",
        "layer_types",
    })  # fmt: skip

    vocab_size: Positive = 250880
    hidden_size: Positive = 1024
    num_layers: Positive = 24
    num_heads: Positive = 16
    hidden_act: str = "gelu_new"
    layer_norm_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    apply_residual_connection_post_layernorm: bool = False
    attention_dropout: Probability = 0.0
    hidden_dropout: Probability = 0.0
    tie_word_embeddings: bool = True
    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 2
    pad_token_id: TokenId = 3

    @property
    def rotary_width(self) -> int:
        """See the base class: positions are not rotated."""
        return 0

    def norm_spec(self) -> NormSpec:
        """See the base class."""
        return NormSpec("layer", self.layer_norm_epsilon)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(
            super().attention_spec(layer), bias=True, output_bias=True, fused="by_head", rotary=None, alibi=True,
            dropout=self.attention_dropout,
        )  # fmt: skip

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        return FeedForwardSpec(4 * self.hidden_size, self.hidden_act, gated=False, bias=True)

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        normed = self.apply_residual_connection_post_layernorm
        return replace(super().layer_spec(layer), normed_residual=normed, dropout=self.hidden_dropout)

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """See the base class."""
        return replace(super().decoder_spec(layers), embedding_norm=self.norm_spec())
