"""OLMo 2: what its configuration declares, under its checkpoints' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import Olmo2Config


class Olmo2ForCausalLM(DecoderForCausalLM):
    """OLMo 2 with its language-model head."""

    config_class: ClassVar[type[Olmo2Config]] = Olmo2Config
    names: ClassVar[Mapping[str, str]] = {
        "attention_output_norm": "post_attention_layernorm", "feed_forward_output_norm": "post_feedforward_layernorm",
    }  # fmt: skip
