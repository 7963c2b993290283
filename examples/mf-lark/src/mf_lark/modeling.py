"""Lark: a decoder of Llama's form (Touvron et al., 2023, "LLaMA: Open and Efficient Foundation Language Models").

The decoder that ``mf_core.models`` builds by default: an RMS norm before each sublayer, rotary positions, groups of
heads that share keys and values, a gated feed-forward layer.
"""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import LarkConfig


class LarkForCausalLM(DecoderForCausalLM):
    """Lark with its language-model head."""

    config_class: ClassVar[type[LarkConfig]] = LarkConfig
