"""The hyper-parameters of Phi-3, Phi-3.5 and Phi-4."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, FeedForwardSpec

Positive = Annotated[int, Field(gt=0)]


class Phi3Config(DecoderConfig):
    """Configuration of Phi-3 to Phi-4 (Abdin et al., 2024): Llama with fused projections, and LongRoPE in some.

    Attributes:
        original_max_position_embeddings: The context before it was made longer, of LongRoPE.
    """

    model_type: ClassVar[str] = "phi3"

    vocab_size: Positive = 32064
    hidden_size: Positive = 3072
    num_layers: Positive = 32
    intermediate_size: Positive = 8192
    seq_length: Positive = 4096
    original_max_position_embeddings: Positive = 4096
    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 32000
    pad_token_id: TokenId = 32000

    def rope_settings(self, layer: int) -> dict[str, Any]:
        """See the base class; files of Phi-3 call LongRoPE by older names too."""
        original = {"original_max_position_embeddings": self.original_max_position_embeddings}
        settings: dict[str, Any] = {**original, **super().rope_settings(layer)}
        older = "short_factor" in settings and settings.get("type", settings.get("rope_type")) in ("su", "yarn")
        return {**settings, "rope_type": "longrope"} if older else settings

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), fused="beside")

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        return replace(super().feed_forward_spec(layer), fused=True)
