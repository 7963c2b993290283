"""The families keep to the rules for plugins."""

from mf_core.testing import ModelContract

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "head_dim": 12, "num_heads": 2, "num_layers": 1, "intermediate_size": 48,
    "seq_length": 40, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "dropout_rate": 0.0,
}  # fmt: skip


class TestT5(ModelContract):
    distribution = "mf-t5"
    model_type = "t5"
    config = SIZES


class TestMT5(ModelContract):
    distribution = "mf-t5"
    model_type = "mt5"
    config = SIZES
