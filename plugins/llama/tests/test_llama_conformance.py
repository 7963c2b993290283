"""Llama and the families that follow it keep to the rules for plugins."""

from mf_core.testing import ModelContract, TokenizerContract

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "seq_length": 64,
}  # fmt: skip


class TestLlamaModel(ModelContract):
    distribution = "mf-llama"
    model_type = "llama"
    config = SIZES


class TestLlamaTokenizer(TokenizerContract):
    distribution = "mf-llama"
    model_type = "llama"
    source = "llama_tiny"
    texts = ("A llama hummed.", "good day", "naïve 北京")
