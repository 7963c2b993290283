"""The Llama families keep to the rules for plugins."""

from mf_core.testing import ModelContract

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "intermediate_size": 48, "seq_length": 64,
}  # fmt: skip


class TestMistralModel(ModelContract):
    distribution = "mf-llama"
    model_type = "mistral"
    config = {**SIZES, "sliding_window": 6}


class TestMixtralModel(ModelContract):
    distribution = "mf-llama"
    model_type = "mixtral"
    config = {**SIZES, "num_local_experts": 4}
