"""The hyper-parameters of OLMo 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, LayerSpec

Positive = Annotated[int, Field(gt=0)]


class Olmo2Config(DecoderConfig):
    """Configuration of OLMo 2 (OLMo Team, 2024): norms after the sublayers, and of all queries and keys together."""

    model_type: ClassVar[str] = "olmo2"

    vocab_size: Positive = 50304
    hidden_size: Positive = 4096
    num_layers: Positive = 32
    intermediate_size: Positive = 11008
    eos_token_id: TokenIds = 50279
    pad_token_id: TokenId = 1

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), query_key_norm=self.norm_spec(), norm_per_head=False)

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        return replace(super().layer_spec(layer), norms="output")
