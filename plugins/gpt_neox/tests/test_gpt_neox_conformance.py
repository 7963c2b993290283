"""GPT-NeoX keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestGPTNeoXModel(ModelContract):
    distribution = "mf-gpt-neox"
    model_type = "gpt_neox"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 48, "seq_length": 64,
    }  # fmt: skip
