"""BLOOM: what its configuration declares, under the names of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import BloomConfig


class BloomForCausalLM(DecoderForCausalLM):
    """BLOOM with its language-model head."""

    config_class: ClassVar[type[BloomConfig]] = BloomConfig
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "transformer", "embedding": "word_embeddings", "embedding_norm": "word_embeddings_layernorm",
        "layers": "h", "last_norm": "ln_f", "attention": "self_attention", "query_key_value": "query_key_value",
        "output": "dense", "up": "dense_h_to_4h", "down": "dense_4h_to_h",
    }  # fmt: skip
