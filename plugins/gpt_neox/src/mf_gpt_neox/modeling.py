"""GPT-NeoX: what its configuration declares, under the names of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import GPTNeoXConfig


class GPTNeoXForCausalLM(DecoderForCausalLM):
    """GPT-NeoX with its language-model head."""

    config_class: ClassVar[type[GPTNeoXConfig]] = GPTNeoXConfig
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "gpt_neox", "embedding": "embed_in", "last_norm": "final_layer_norm", "lm_head": "embed_out",
        "attention": "attention", "query_key_value": "query_key_value", "output": "dense", "up": "dense_h_to_4h",
        "down": "dense_4h_to_h",
    }  # fmt: skip
    head_key: ClassVar[str] = "embed_out.weight"
    # Causal masks and wavelengths that old checkpoints carry, and the head where it is the embedding.
    ignored_keys: ClassVar[tuple[str, ...]] = (
        r"\.attention\.(masked_)?bias$", r"\.rotary_emb\.inv_freq$", r"^embed_out\.weight$",
    )  # fmt: skip
