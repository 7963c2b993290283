"""OLMo 2 keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestOlmo2Model(ModelContract):
    distribution = "mf-olmo"
    model_type = "olmo2"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "seq_length": 64, "eos_token_id": 2,
    }  # fmt: skip
