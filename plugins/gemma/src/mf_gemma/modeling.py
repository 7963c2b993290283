"""Gemma 2 and Gemma 3: what their configurations declare, under their checkpoints' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import Gemma2Config, Gemma3TextConfig


class Gemma2ForCausalLM(DecoderForCausalLM):
    """Gemma 2 with its language-model head."""

    config_class: ClassVar[type[Gemma2Config]] = Gemma2Config
    names: ClassVar[Mapping[str, str]] = {
        "attention_output_norm": "post_attention_layernorm", "feed_forward_norm": "pre_feedforward_layernorm",
        "feed_forward_output_norm": "post_feedforward_layernorm",
    }  # fmt: skip


class Gemma3ForCausalLM(Gemma2ForCausalLM):
    """Gemma 3's text model with its language-model head."""

    config_class: ClassVar[type[Gemma3TextConfig]] = Gemma3TextConfig
