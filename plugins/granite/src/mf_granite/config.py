"""The hyper-parameters of Granite."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, DecoderSpec, LayerSpec

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class GraniteConfig(DecoderConfig):
    """Configuration of Granite 3 (Granite Team, IBM, 2024): Llama with multipliers.

    Attributes:
        embedding_multiplier, residual_multiplier: Factors of the embeddings and of what sublayers add.
        attention_multiplier: Factor of the scores, instead of ``1 / sqrt(head_dim)``.
        logits_scaling: The logits are divided by it.
    """

    model_type: ClassVar[str] = "granite"

    hidden_size: Positive = 4096
    num_layers: Positive = 32
    intermediate_size: Positive = 11008
    rms_norm_eps: PositiveFloat = 1e-6
    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 2
    embedding_multiplier: PositiveFloat = 1.0
    residual_multiplier: PositiveFloat = 1.0
    attention_multiplier: PositiveFloat = 1.0
    logits_scaling: PositiveFloat = 1.0

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), scale=self.attention_multiplier)

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        return replace(super().layer_spec(layer), residual_multiplier=self.residual_multiplier)

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """See the base class."""
        return replace(
            super().decoder_spec(layers), embedding_multiplier=self.embedding_multiplier,
            logit_multiplier=1 / self.logits_scaling,
        )  # fmt: skip
