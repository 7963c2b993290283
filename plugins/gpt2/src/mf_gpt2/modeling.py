"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners").

Parameter names are those of Hugging Face's checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import DecoderForCausalLM, DecoderForSequenceClassification

from .config import GPT2Config


class GPT2LMHeadModel(DecoderForCausalLM):
    """GPT-2 with its language-model head, which is the token embedding unless ``tie_word_embeddings`` is False."""

    config_class: ClassVar[type[GPT2Config]] = GPT2Config
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "transformer", "embedding": "wte", "position_embedding": "wpe", "layers": "h", "last_norm": "ln_f",
        "attention_norm": "ln_1", "attention": "attn", "query_key_value": "c_attn", "output": "c_proj",
        "feed_forward_norm": "ln_2", "feed_forward": "mlp", "up": "c_fc", "down": "c_proj",
    }  # fmt: skip
    # Causal masks that old checkpoints carry, and the head's second name for the embedding.
    ignored_keys: ClassVar[tuple[str, ...]] = (r"(^|\.)h\.\d+\.attn\.(masked_)?bias$", r"^lm_head\.weight$")


class GPT2ForSequenceClassification(DecoderForSequenceClassification):
    """GPT-2 that classifies texts."""

    causal_lm: ClassVar[type[DecoderForCausalLM]] = GPT2LMHeadModel
