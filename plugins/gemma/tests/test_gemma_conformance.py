"""The Gemma families keep to the rules for plugins."""

from mf_core.testing import ModelContract

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "intermediate_size": 48, "seq_length": 64, "sliding_window": 6, "eos_token_id": 1,
}  # fmt: skip


class TestGemma2Model(ModelContract):
    distribution = "mf-gemma"
    model_type = "gemma2"
    config = SIZES


class TestGemma3Model(ModelContract):
    distribution = "mf-gemma"
    model_type = "gemma3_text"
    config = {**SIZES, "sliding_window_pattern": 2}
