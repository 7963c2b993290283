"""The hyper-parameters of GPT-NeoX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, DecoderSpec, FeedForwardSpec, LayerSpec, NormSpec

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class GPTNeoXConfig(DecoderConfig):
    """Configuration of GPT-NeoX (Black et al., 2022) and Pythia (Biderman et al., 2023).

    Attributes:
        layer_norm_eps: Added to variances.
        use_parallel_residual: Whether attention and the feed-forward layer both read the layer's input.
        attention_dropout: Of attention's weights, in training.
        hidden_dropout: Of the outputs of sublayers and of embeddings, in training.
    """

    model_type: ClassVar[str] = "gpt_neox"
    json_names: ClassVar[Mapping[str, str]] = {
        **DecoderConfig.json_names, "rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct",
        "layer_norm_eps": "layer_norm_eps", "use_parallel_residual": "use_parallel_residual",
    }  # fmt: skip
    unused: ClassVar[frozenset[str]] = frozenset(
        {"num_key_value_heads", "head_dim", "rms_norm_eps", "mlp_bias", "sliding_window", "layer_types"}
    )

    vocab_size: Positive = 50432
    hidden_size: Positive = 6144
    num_layers: Positive = 44
    num_heads: Positive = 64
    intermediate_size: Positive = 24576
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 0.25
    hidden_act: str = "gelu"
    layer_norm_eps: PositiveFloat = 1e-5
    use_parallel_residual: bool = True
    attention_bias: bool = True
    attention_dropout: Probability = 0.0
    hidden_dropout: Probability = 0.0
    bos_token_id: TokenId = 0
    eos_token_id: TokenIds = 0

    def norm_spec(self) -> NormSpec:
        """See the base class."""
        return NormSpec("layer", self.layer_norm_eps)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), fused="by_head", dropout=self.attention_dropout)

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        return FeedForwardSpec(self.intermediate_size, self.hidden_act, gated=False, bias=True)

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        spec = replace(super().layer_spec(layer), dropout=self.hidden_dropout)
        return replace(spec, norms="parallel") if self.use_parallel_residual else spec

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """See the base class."""
        return replace(super().decoder_spec(layers), embedding_dropout=self.hidden_dropout)
