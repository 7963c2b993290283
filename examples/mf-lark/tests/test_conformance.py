"""What every model and tokenizer of mf-framework must do, checked on this package's."""

from mf_core.testing import ModelContract, TokenizerContract


class TestLarkModel(ModelContract):
    distribution = "mf-lark"
    model_type = "lark"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "seq_length": 64,
    }  # fmt: skip


class TestLarkTokenizer(TokenizerContract):
    distribution = "mf-lark"
    model_type = "lark"
    source = "lark_tiny"
    texts = ("A llama hummed.", "good day", "naïve 北京")
