"""The families keep to the rules for plugins."""

from mf_core.testing import ModelContract


class TestBertClassifier(ModelContract):
    distribution = "mf-bert"
    model_type = "bert"
    head = "sequence_classification"
    config = {
        "vocab_size": 60, "hidden_size": 32, "num_layers": 1, "num_heads": 4, "intermediate_size": 48,
        "seq_length": 40, "num_labels": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
