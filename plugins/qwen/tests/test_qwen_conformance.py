"""The Qwen families keep to the rules for plugins."""

from mf_core.testing import ModelContract

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "intermediate_size": 48, "seq_length": 64,
}  # fmt: skip


class TestQwen3Model(ModelContract):
    distribution = "mf-qwen"
    model_type = "qwen3"
    config = SIZES


class TestQwen3MoeModel(ModelContract):
    distribution = "mf-qwen"
    model_type = "qwen3_moe"
    config = {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "norm_topk_prob": True}
