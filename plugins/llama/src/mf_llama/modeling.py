"""Llama, Mistral, Mixtral and SmolLM3: what their configurations declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM, DecoderForSequenceClassification

from .config import LlamaConfig, MistralConfig, MixtralConfig, SmolLM3Config


class LlamaForCausalLM(DecoderForCausalLM):
    """Llama with its language-model head."""

    config_class: ClassVar[type[LlamaConfig]] = LlamaConfig


class MistralForCausalLM(DecoderForCausalLM):
    """Mistral with its language-model head."""

    config_class: ClassVar[type[MistralConfig]] = MistralConfig


class MixtralForCausalLM(DecoderForCausalLM):
    """Mixtral with its language-model head."""

    config_class: ClassVar[type[MixtralConfig]] = MixtralConfig
    names: ClassVar[Mapping[str, str]] = {"feed_forward": "block_sparse_moe", "gate": "w1", "up": "w3", "down": "w2"}


class SmolLM3ForCausalLM(DecoderForCausalLM):
    """SmolLM3 with its language-model head."""

    config_class: ClassVar[type[SmolLM3Config]] = SmolLM3Config


class LlamaForSequenceClassification(DecoderForSequenceClassification):
    """Llama that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = LlamaForCausalLM


class MistralForSequenceClassification(DecoderForSequenceClassification):
    """Mistral that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = MistralForCausalLM


class MixtralForSequenceClassification(DecoderForSequenceClassification):
    """Mixtral that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = MixtralForCausalLM


class SmolLM3ForSequenceClassification(DecoderForSequenceClassification):
    """SmolLM3 that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = SmolLM3ForCausalLM
