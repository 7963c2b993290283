"""GLM-4: what its configurations declare, under the names of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import Glm4Config, GlmConfig


class GlmForCausalLM(DecoderForCausalLM):
    """GLM-4 with its language-model head."""

    config_class: ClassVar[type[GlmConfig]] = GlmConfig


class Glm4ForCausalLM(DecoderForCausalLM):
    """GLM-4-0414 with its language-model head."""

    config_class: ClassVar[type[Glm4Config]] = Glm4Config
    names: ClassVar[Mapping[str, str]] = {
        "attention_output_norm": "post_self_attn_layernorm", "feed_forward_output_norm": "post_mlp_layernorm",
    }  # fmt: skip
