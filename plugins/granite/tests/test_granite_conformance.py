"""Granite keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestGraniteModel(ModelContract):
    distribution = "mf-granite"
    model_type = "granite"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "seq_length": 64, "embedding_multiplier": 3.0, "residual_multiplier": 0.5,
        "attention_multiplier": 0.2, "logits_scaling": 4.0,
    }  # fmt: skip
