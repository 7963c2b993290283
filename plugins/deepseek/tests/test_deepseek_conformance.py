"""DeepSeek-V3 keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestDeepseekV3Model(ModelContract):
    distribution = "mf-deepseek"
    model_type = "deepseek_v3"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 48, "seq_length": 64,
        "kv_lora_rank": 10, "q_lora_rank": 8, "qk_nope_head_dim": 5, "qk_rope_head_dim": 4, "v_head_dim": 6,
        "first_k_dense_replace": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
        "n_group": 2, "topk_group": 1,
    }  # fmt: skip
