"""GLM-4 keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestGlm4Model(ModelContract):
    distribution = "mf-glm"
    model_type = "glm4"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
        "intermediate_size": 48, "seq_length": 64, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
