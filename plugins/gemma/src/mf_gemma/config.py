"""The hyper-parameters of Gemma 2 and of Gemma 3's text models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, DecoderSpec, LayerSpec, NormSpec

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Gemma2Config(DecoderConfig):
    """Configuration of Gemma 2 (Gemma Team, 2024): norms around each sublayer, bounded scores, alternating windows.

    Attributes:
        query_pre_attn_scalar: Scores are divided by its square root.
        attn_logit_softcapping, final_logit_softcapping: Bounds of the scores and of the logits; None: not bounded.
        use_bidirectional_attention: True, as in embedding models, is not supported.
    """

    model_type: ClassVar[str] = "gemma2"
    json_names: ClassVar[Mapping[str, str]] = {**DecoderConfig.json_names, "hidden_act": "hidden_activation"}

    vocab_size: Positive = 256000
    hidden_size: Positive = 2304
    num_layers: Positive = 26
    num_heads: Positive = 8
    num_key_value_heads: Positive | None = 4
    head_dim: Positive | None = 256
    intermediate_size: Positive = 9216
    seq_length: Positive = 8192
    rms_norm_eps: PositiveFloat = 1e-6
    hidden_act: str = "gelu_pytorch_tanh"
    sliding_window: Positive | None = 4096
    tie_word_embeddings: bool = True
    bos_token_id: TokenId = 2
    eos_token_id: TokenIds = 1
    pad_token_id: TokenId = 0
    query_pre_attn_scalar: Positive = 256
    attn_logit_softcapping: PositiveFloat | None = 50.0
    final_logit_softcapping: PositiveFloat | None = 30.0
    use_bidirectional_attention: Literal[False] | None = None

    def norm_spec(self) -> NormSpec:
        """See the base class; weights are stored as differences from 1."""
        return replace(super().norm_spec(), offset=1.0)

    def layer_type(self, layer: int) -> str:
        """See the base class."""
        if self.layer_types is not None:
            return self.layer_types[layer]
        return "full_attention" if layer % 2 or self.sliding_window is None else "sliding_attention"

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        scale = self.query_pre_attn_scalar**-0.5
        return replace(super().attention_spec(layer), scale=scale, soft_cap=self.attn_logit_softcapping)

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        return replace(super().layer_spec(layer), norms="sandwich")

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """See the base class."""
        return replace(
            super().decoder_spec(layers), embedding_multiplier=math.sqrt(self.hidden_size),
            logit_soft_cap=self.final_logit_softcapping,
        )  # fmt: skip


class Gemma3TextConfig(Gemma2Config):
    """Configuration of Gemma 3's text models (Gemma Team, 2025): norms of queries and keys instead of bounded scores.

    Attributes:
        sliding_window_pattern: Every so many layers, one attends to all tokens; with ``layer_types`` it is not used.
        rope_local_base_freq: Base of the rotary wavelengths in windowed layers, to which ``rope_scaling`` does not
            apply.
    """

    model_type: ClassVar[str] = "gemma3_text"

    vocab_size: Positive = 262144
    seq_length: Positive = 131072
    rope_theta: PositiveFloat = 1000000.0
    rope_local_base_freq: PositiveFloat = 10000.0
    sliding_window_pattern: Positive = 6
    attn_logit_softcapping: PositiveFloat | None = None
    final_logit_softcapping: PositiveFloat | None = None

    def layer_type(self, layer: int) -> str:
        """See the base class."""
        if self.layer_types is not None:
            return self.layer_types[layer]
        full = (layer + 1) % self.sliding_window_pattern == 0 or self.sliding_window is None
        return "full_attention" if full else "sliding_attention"

    def rope_settings(self, layer: int) -> dict[str, Any]:
        """See the base class."""
        kind = self.layer_type(layer)
        if kind == "full_attention":
            return super().rope_settings(layer)
        return {"rope_theta": self.rope_local_base_freq, **(self.rope_parameters or {}).get(kind, {})}

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), query_key_norm=self.norm_spec())
