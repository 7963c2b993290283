"""Qwen2, Qwen3 and Qwen3-MoE: what their configurations declare."""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import DecoderForCausalLM, DecoderForSequenceClassification

from .config import Qwen2Config, Qwen3Config, Qwen3MoeConfig


class Qwen2ForCausalLM(DecoderForCausalLM):
    """Qwen2 with its language-model head."""

    config_class: ClassVar[type[Qwen2Config]] = Qwen2Config


class Qwen3ForCausalLM(DecoderForCausalLM):
    """Qwen3 with its language-model head."""

    config_class: ClassVar[type[Qwen3Config]] = Qwen3Config


class Qwen3MoeForCausalLM(DecoderForCausalLM):
    """Qwen3-MoE with its language-model head."""

    config_class: ClassVar[type[Qwen3MoeConfig]] = Qwen3MoeConfig


class Qwen2ForSequenceClassification(DecoderForSequenceClassification):
    """Qwen2 that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = Qwen2ForCausalLM


class Qwen3ForSequenceClassification(DecoderForSequenceClassification):
    """Qwen3 that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = Qwen3ForCausalLM


class Qwen3MoeForSequenceClassification(DecoderForSequenceClassification):
    """Qwen3Moe that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = Qwen3MoeForCausalLM
