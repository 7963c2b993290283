"""The hyper-parameters of Qwen2, Qwen3 and Qwen3-MoE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, ExpertsSpec, FeedForwardSpec

Positive = Annotated[int, Field(gt=0)]


class Qwen2Config(DecoderConfig):
    """Configuration of Qwen2 and Qwen2.5 (Yang et al., 2024): Llama with biases of queries, keys and values.

    Attributes:
        use_sliding_window: Whether the layers from ``max_window_layers`` on have the window.
        max_window_layers: How many of the first layers have none.
    """

    model_type: ClassVar[str] = "qwen2"

    vocab_size: Positive = 151936
    hidden_size: Positive = 896
    num_layers: Positive = 24
    num_heads: Positive = 14
    num_key_value_heads: Positive | None = 2
    intermediate_size: Positive = 4864
    seq_length: Positive = 32768
    rope_theta: Annotated[float, Field(gt=0)] = 1000000.0
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-6
    bos_token_id: TokenId = 151643
    eos_token_id: TokenIds = 151643
    use_sliding_window: bool = False
    max_window_layers: int = 28

    def layer_type(self, layer: int) -> str:
        """See the base class."""
        if self.layer_types is not None:
            return self.layer_types[layer]
        windowed = self.use_sliding_window and self.sliding_window is not None and layer >= self.max_window_layers
        return "sliding_attention" if windowed else "full_attention"

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        return replace(super().attention_spec(layer), bias=True, output_bias=False)


class Qwen3Config(Qwen2Config):
    """Configuration of Qwen3 (Yang et al., 2025): a norm of each query's and each key's head instead of the biases."""

    model_type: ClassVar[str] = "qwen3"

    hidden_size: Positive = 1024
    num_layers: Positive = 28
    num_heads: Positive = 16
    num_key_value_heads: Positive | None = 8
    head_dim: Positive | None = 128
    intermediate_size: Positive = 3072
    seq_length: Positive = 40960

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        bias = self.attention_bias
        return replace(
            super().attention_spec(layer), bias=bias, output_bias=bias, query_key_norm=self.norm_spec()
        )


class Qwen3MoeConfig(Qwen3Config):
    """Configuration of Qwen3-MoE: each token goes through a few of a layer's experts.

    Attributes:
        num_experts, num_experts_per_tok: Experts of a layer, and how many of them each token goes through.
        moe_intermediate_size: Width of an expert.
        norm_topk_prob: Whether the weights of those are divided by their sum.
        decoder_sparse_step: Every so many layers have experts.
        mlp_only_layers: Layers that have none.
    """

    model_type: ClassVar[str] = "qwen3_moe"
    json_names: ClassVar[Mapping[str, str]] = {**DecoderConfig.json_names, "num_experts": "num_experts"}
    aliases: ClassVar[Mapping[str, str]] = {**DecoderConfig.aliases, "num_local_experts": "num_experts"}

    num_experts: Positive = 128
    num_experts_per_tok: Positive = 8
    moe_intermediate_size: Positive = 768
    norm_topk_prob: bool = False
    decoder_sparse_step: Positive = 1
    mlp_only_layers: list[int] = Field(default_factory=list)

    def experts_spec(self, layer: int) -> ExpertsSpec | None:
        """See the base class."""
        if layer in self.mlp_only_layers or (layer + 1) % self.decoder_sparse_step:
            return None
        return ExpertsSpec(self.num_experts, self.num_experts_per_tok, normalize=self.norm_topk_prob)

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        spec = super().feed_forward_spec(layer)
        more: dict[str, Any] = {} if spec.experts is None else {"inner": self.moe_intermediate_size}
        return replace(spec, **more)
