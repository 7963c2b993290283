"""Phi-3 keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestPhi3Model(ModelContract):
    distribution = "mf-phi"
    model_type = "phi3"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "seq_length": 64, "partial_rotary_factor": 0.5, "eos_token_id": 1, "pad_token_id": 0,
    }  # fmt: skip
