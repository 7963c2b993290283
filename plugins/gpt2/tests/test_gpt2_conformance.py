"""GPT-2 keeps to the rules for plugins."""

from mf_core.testing import ModelContract, ProcessorContract, TokenizerContract


class TestGPT2Model(ModelContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    config = {"vocab_size": 96, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}


class TestGPT2Tokenizer(TokenizerContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    source = "gpt2"
    texts = ("Once upon a time", " two  spaces", "naïve 🧪 语言\n")


class TestGPT2Processor(ProcessorContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    inputs = ("hello", "Once upon a time")
