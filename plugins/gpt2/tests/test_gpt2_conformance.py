"""GPT-2 keeps to the rules for plugins."""

import pytest

from mf_core.testing import ModelContract, ProcessorContract, ShardedModelContract, TokenizerContract


class TestGPT2Model(ModelContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    config = {"vocab_size": 96, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}


@pytest.mark.slow
class TestShardedGPT2Model(ShardedModelContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    config = TestGPT2Model.config


class TestGPT2Tokenizer(TokenizerContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    source = "gpt2"
    texts = ("Once upon a time", " two  spaces", "naïve 🧪 语言\n")


class TestGPT2Processor(ProcessorContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    inputs = ("hello", "Once upon a time")
