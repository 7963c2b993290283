"""A GGUF file of each architecture: hyper-parameters and weights are those that were written."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core import AutoConfig, AutoModelForCausalLM
from mf_core.generation.rows import CachedRows

pytest.importorskip("gguf")

from ..support.gguf_models import write_model

SIZES = {
    "vocab_size": 263, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "seq_length": 64, "eos_token_id": 262, "pad_token_id": None, "bos_token_id": None,
    "initializer_range": 0.3, "rms_norm_eps": 1e-5, "rope_theta": 500.0,
}  # fmt: skip
KEYS = {
    "block_count": 2, "embedding_length": 32, "feed_forward_length": 48, "context_length": 64,
    "attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 500.0,
}  # fmt: skip
FACTORS = {
    "rope_factors_short.weight": np.array([1.0, 1.5], np.float32),
    "rope_factors_long.weight": np.array([1.0, 3.0], np.float32),
}
#: Name -> architecture, model_type, fields, keys, and tensors that are no weights.
CASES = {
    "llama": ("llama", "llama", {"attention_bias": True}, {}, {}),
    "mixtral": ("llama", "mixtral", {"num_local_experts": 4}, {"expert_count": 4, "expert_used_count": 2}, {}),
    "smollm3": ("smollm3", "smollm3", {"num_layers": 4, "tie_word_embeddings": False}, {"block_count": 4}, {}),
    "gemma2": (
        "gemma2", "gemma2", {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 4,
                             "final_logit_softcapping": 20.0},
        {"attention.key_length": 12, "attention.value_length": 12, "attention.sliding_window": 4,
         "attn_logit_softcapping": 50.0, "final_logit_softcapping": 20.0}, {},
    ),
    "gemma3": (
        "gemma3", "gemma3_text",
        {"num_layers": 7, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 4,
         "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        {"block_count": 7, "attention.key_length": 12, "attention.value_length": 12, "attention.sliding_window": 4,
         "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, {},
    ),
    "gemma3, bases and windows by the file": (
        "gemma3", "gemma3_text",
        {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 4, "rope_local_base_freq": 100.0,
         "layer_types": ["full_attention", "sliding_attention"]},
        {"attention.key_length": 12, "attention.value_length": 12, "attention.sliding_window": 4,
         "rope.freq_base_swa": 100.0, "attention.sliding_window_pattern": [False, True]}, {},
    ),
    "phi3": ("phi3", "phi3", {"sliding_window": 5}, {"attention.sliding_window": 5}, {}),
    "phi3, longrope": (
        "phi3", "phi3",
        {"partial_rotary_factor": 0.5, "original_max_position_embeddings": 16,
         "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [1.0, 3.0]}},
        {"rope.dimension_count": 4, "rope.scaling.original_context_length": 16}, FACTORS,
    ),
    "olmo2": ("olmo2", "olmo2", {}, {}, {}),
    "granite": (
        "granite", "granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25, "logits_scaling": 4.0},
        {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.25, "logit_scale": 4.0}, {},
    ),
}  # fmt: skip
IDS = [104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33]


def made(model_type, fields):
    config = AutoConfig.from_config({"model_type": model_type, **SIZES, **fields})
    model = AutoModelForCausalLM.from_config(config)
    random = np.random.default_rng(0)
    for parameter in model.get_parameters():
        if len(parameter.shape) == 1:  # norms begin at 1 or 0, biases at 0
            noise = random.standard_normal(parameter.shape).astype(np.float32) * np.float32(0.2)
            parameter.set_data(Tensor(parameter.asnumpy() + noise))
    return model


def logits(model):
    with CachedRows(model, 1) as rows:
        return rows.put([IDS], len(IDS))[0]


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_the_architecture(case, tmp_path):
    architecture, model_type, fields, keys, extra = CASES[case]
    model = made(model_type, fields)
    tensors = {name: parameter.asnumpy() for name, parameter in model.parameters_and_names()}
    write_model(tmp_path / "x.gguf", architecture, tensors, {**KEYS, **keys}, heads=4, groups=2, extra=extra)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf")
    assert type(read) is type(model)
    for layer in range(model.config.num_layers):
        assert read.config.attention_spec(layer) == model.config.attention_spec(layer)
    np.testing.assert_allclose(logits(read), logits(model), rtol=1e-5, atol=1e-5)
