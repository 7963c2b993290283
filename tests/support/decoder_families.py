"""Families that stand on ``mf_core.models``, for tests: what each differs from Llama in, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import PositiveFloat, PositiveInt

from mf_core.models import (
    AttentionSpec,
    DecoderConfig,
    DecoderForCausalLM,
    DecoderSpec,
    ExpertsSpec,
    FeedForwardSpec,
    LayerSpec,
    NormSpec,
)


class LlamaConfig(DecoderConfig):
    model_type: ClassVar[str] = "test_llama"


class LlamaForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = LlamaConfig


class Qwen3Config(DecoderConfig):
    """Qwen 3: explicit head width, norms of queries and keys."""

    model_type: ClassVar[str] = "test_qwen3"

    head_dim: PositiveInt | None = 128
    rope_theta: PositiveFloat = 1000000.0
    rms_norm_eps: PositiveFloat = 1e-6

    def attention_spec(self, layer: int) -> AttentionSpec:
        return replace(super().attention_spec(layer), query_key_norm=self.norm_spec())


class Qwen3ForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = Qwen3Config


class Gemma2Config(DecoderConfig):
    model_type: ClassVar[str] = "test_gemma2"

    hidden_act: str = "gelu_pytorch_tanh"
    tie_word_embeddings: bool = True
    query_pre_attn_scalar: PositiveFloat = 256
    attn_logit_softcapping: PositiveFloat | None = 50.0
    final_logit_softcapping: PositiveFloat | None = 30.0

    def norm_spec(self) -> NormSpec:
        return NormSpec("rms", self.rms_norm_eps, offset=1.0)

    def layer_type(self, layer: int) -> str:
        return "sliding_attention" if layer % 2 == 0 else "full_attention"

    def attention_spec(self, layer: int) -> AttentionSpec:
        scale = self.query_pre_attn_scalar**-0.5
        return replace(super().attention_spec(layer), scale=scale, soft_cap=self.attn_logit_softcapping)

    def layer_spec(self, layer: int) -> LayerSpec:
        return replace(super().layer_spec(layer), norms="sandwich")

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        return replace(
            super().decoder_spec(layers), embedding_multiplier=math.sqrt(self.hidden_size),
            logit_soft_cap=self.final_logit_softcapping,
        )  # fmt: skip


class Gemma2ForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = Gemma2Config
    names: ClassVar[Mapping[str, str]] = {
        "attention_output_norm": "post_attention_layernorm", "feed_forward_norm": "pre_feedforward_layernorm",
        "feed_forward_output_norm": "post_feedforward_layernorm",
    }  # fmt: skip


class Olmo2Config(DecoderConfig):
    model_type: ClassVar[str] = "test_olmo2"

    def layer_spec(self, layer: int) -> LayerSpec:
        spec = super().layer_spec(layer)
        attention = replace(spec.attention, query_key_norm=self.norm_spec(), norm_per_head=False)
        return replace(spec, norms="output", attention=attention)


class Olmo2ForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = Olmo2Config
    names: ClassVar[Mapping[str, str]] = {
        "attention_output_norm": "post_attention_layernorm", "feed_forward_output_norm": "post_feedforward_layernorm",
    }  # fmt: skip


class GPTNeoXConfig(DecoderConfig):
    model_type: ClassVar[str] = "test_gpt_neox"
    aliases: ClassVar[Mapping[str, str]] = {"rotary_pct": "partial_rotary_factor"}

    hidden_act: str = "gelu"
    layer_norm_eps: PositiveFloat = 1e-5

    def norm_spec(self) -> NormSpec:
        return NormSpec("layer", self.layer_norm_eps)

    def layer_spec(self, layer: int) -> LayerSpec:
        spec = super().layer_spec(layer)
        attention = replace(spec.attention, bias=True, output_bias=True, fused="by_head")
        feed_forward = FeedForwardSpec(self.intermediate_size, self.hidden_act, gated=False, bias=True)
        return replace(spec, norms="parallel", attention=attention, feed_forward=feed_forward)


class GPTNeoXForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = GPTNeoXConfig
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "gpt_neox", "embedding": "embed_in", "last_norm": "final_layer_norm",
        "attention": "attention", "query_key_value": "query_key_value", "output": "dense", "up": "dense_h_to_4h",
        "down": "dense_4h_to_h",
    }  # fmt: skip


class BloomConfig(DecoderConfig):
    model_type: ClassVar[str] = "test_bloom"

    tie_word_embeddings: bool = True
    layer_norm_epsilon: PositiveFloat = 1e-5

    def norm_spec(self) -> NormSpec:
        return NormSpec("layer", self.layer_norm_epsilon)

    def layer_spec(self, layer: int) -> LayerSpec:
        spec = super().layer_spec(layer)
        attention = replace(
            spec.attention, bias=True, output_bias=True, fused="by_head", rotary=None, alibi=True
        )
        feed_forward = FeedForwardSpec(4 * self.hidden_size, "gelu_new", gated=False, bias=True)
        return replace(spec, attention=attention, feed_forward=feed_forward)

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        return replace(super().decoder_spec(layers), embedding_norm=self.norm_spec())


class BloomForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = BloomConfig
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "transformer", "embedding": "word_embeddings", "embedding_norm": "word_embeddings_layernorm",
        "layers": "h", "last_norm": "ln_f", "attention": "self_attention", "query_key_value": "query_key_value",
        "output": "dense", "up": "dense_h_to_4h", "down": "dense_4h_to_h",
    }  # fmt: skip


class MixtralConfig(DecoderConfig):
    model_type: ClassVar[str] = "test_mixtral"

    num_local_experts: PositiveInt = 4
    num_experts_per_tok: PositiveInt = 2
    shared_expert_intermediate_size: PositiveInt | None = None
    norm_topk_prob: bool = True

    def experts_spec(self, layer: int) -> ExpertsSpec:
        shared = self.shared_expert_intermediate_size
        return ExpertsSpec(
            self.num_local_experts, self.num_experts_per_tok, self.norm_topk_prob, shared, shared is not None
        )


class MixtralForCausalLM(DecoderForCausalLM):
    config_class: ClassVar[type[DecoderConfig]] = MixtralConfig


FAMILIES: dict[str, tuple[type[DecoderForCausalLM], type[DecoderConfig]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig), "qwen3": (Qwen3ForCausalLM, Qwen3Config),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config), "olmo2": (Olmo2ForCausalLM, Olmo2Config),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig), "bloom": (BloomForCausalLM, BloomConfig),
    "mixtral": (MixtralForCausalLM, MixtralConfig),
}  # fmt: skip

SIZES: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "seq_length": 64, "initializer_range": 0.2,
}  # fmt: skip


def small(family: str, **fields: Any) -> DecoderForCausalLM:
    """Return a small model of a family, with random weights."""
    model, config = FAMILIES[family]
    heads = {"num_key_value_heads": None} if family in ("gpt_neox", "bloom") else {}
    return model(config(**{**SIZES, **heads, **fields}))
