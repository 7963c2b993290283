"""DeepSeek-V2 and DeepSeek-V3: what their configurations declare, under the names of their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import DeepseekV2Config, DeepseekV3Config


class DeepseekV2ForCausalLM(DecoderForCausalLM):
    """DeepSeek-V2 with its language-model head."""

    config_class: ClassVar[type[DeepseekV2Config]] = DeepseekV2Config
    names: ClassVar[Mapping[str, str]] = {"shared_expert": "shared_experts"}


class DeepseekV3ForCausalLM(DeepseekV2ForCausalLM):
    """DeepSeek-V3 with its language-model head."""

    config_class: ClassVar[type[DeepseekV3Config]] = DeepseekV3Config
    # The published checkpoint has one more layer, which predicts the token after the next.
    ignored_keys: ClassVar[tuple[str, ...]] = (*DecoderForCausalLM.ignored_keys, r"^model\.layers\.61\.")
