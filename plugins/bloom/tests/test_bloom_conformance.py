"""BLOOM keeps to the rules for plugins."""

from mf_core.testing import ModelContract


class TestBloomModel(ModelContract):
    distribution = "mf-bloom"
    model_type = "bloom"
    config = {"vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}
