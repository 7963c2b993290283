"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners").

Parameter names are those of Hugging Face's checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import AttentionSpec, DecoderForCausalLM, DecoderSpec, FeedForwardSpec, LayerSpec, NormSpec

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

    @classmethod
    def layer_spec(cls, config: GPT2Config, layer: int) -> LayerSpec:
        """See the base class."""
        head_dim, std = config.hidden_size // config.num_heads, config.initializer_range
        scale = head_dim**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= layer + 1
        return LayerSpec(
            config.hidden_size,
            AttentionSpec(
                config.num_heads, config.num_heads, head_dim, scale=scale, bias=True, output_bias=True, fused="beside",
                dropout=config.attention_dropout_rate, softmax_dtype=config.softmax_compute_type,
            ),
            FeedForwardSpec(config.ffn_size, config.activation_name, gated=False, bias=True),
            _norm(config),
            normed_residual=config.post_layernorm_residual, dropout=config.hidden_dropout_rate, outputs_first=False,
            # The residual stream adds up 2 * num_layers outputs, so these begin smaller (section 2.3).
            std=std, output_std=std / (2 * config.num_layers) ** 0.5, param_dtype=config.param_init_type,
        )  # fmt: skip

    @classmethod
    def spec(cls, config: GPT2Config) -> DecoderSpec:
        """See the base class."""
        return DecoderSpec(
            config.vocab_size, config.hidden_size, config.seq_length,
            tuple(cls.layer_spec(config, layer) for layer in range(config.num_layers)), _norm(config),
            tied=config.tie_word_embeddings,
            learned_positions=True, embedding_dropout=config.embedding_dropout_prob, std=config.initializer_range,
            param_dtype=config.param_init_type,
        )  # fmt: skip


def _norm(config: GPT2Config) -> NormSpec:
    return NormSpec("layer", config.layernorm_epsilon, dtype=config.layernorm_compute_type)
