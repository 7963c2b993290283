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
BLOOM = {
    "feed_forward_length": 128, "attention.head_count_kv": 4, "attention.layer_norm_epsilon": 1e-5,
}  # fmt: skip
LATENT = {
    "num_key_value_heads": None, "kv_lora_rank": 10, "q_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
    "v_head_dim": 7, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 2,
    "moe_intermediate_size": 12, "first_k_dense_replace": 1,
}  # fmt: skip
LATENT_KEYS = {
    "attention.kv_lora_rank": 10, "attention.q_lora_rank": 9, "rope.dimension_count": 4, "expert_count": 4,
    "expert_used_count": 2, "expert_shared_count": 2, "expert_feed_forward_length": 12, "expert_weights_scale": 1.0,
    "leading_dense_block_count": 1,
}  # fmt: skip
#: As files since 2025 have it: what is cached counts as one head, and keys and values are made by two tensors.
LATENT_CACHE = {
    "attention.head_count_kv": 1, "attention.key_length": 14, "attention.value_length": 10,
    "attention.key_length_mla": 10, "attention.value_length_mla": 7,
}  # fmt: skip
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
    "phi3, part of a head, tied": (
        "phi3", "phi3", {"tie_word_embeddings": True, "partial_rotary_factor": 0.75, "hidden_size": 64},
        {"embedding_length": 64, "attention.sliding_window": 0, "rope.dimension_count": 12}, {},
    ),
    "qwen2": ("qwen2", "qwen2", {"tie_word_embeddings": True}, {}, {}),
    "qwen3": ("qwen3", "qwen3", {"head_dim": 12},
              {"attention.key_length": 12, "attention.value_length": 12}, {}),
    "qwen3moe": (
        "qwen3moe", "qwen3_moe",
        {"head_dim": 12, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
         "norm_topk_prob": True},
        {"attention.key_length": 12, "attention.value_length": 12, "expert_count": 4, "expert_used_count": 2,
         "expert_feed_forward_length": 20}, {},
    ),
    "glm4": ("glm4", "glm4", {"head_dim": 8}, {"attention.key_length": 8, "rope.dimension_count": 4}, {}),
    "chatglm": ("chatglm", "glm", {"head_dim": 8, "attention_bias": True}, {"rope.dimension_count": 4}, {}),
    "bloom": ("bloom", "bloom", {"num_key_value_heads": None, "intermediate_size": None}, BLOOM, {}),
    "gptneox": (
        "gptneox", "gpt_neox", {"num_key_value_heads": None, "use_parallel_residual": False, "rotary_pct": 0.5},
        {"attention.layer_norm_epsilon": 1e-5, "use_parallel_residual": False, "rope.dimension_count": 4}, {},
    ),
    "deepseek2, keys and values together": ("deepseek2", "deepseek_v2", LATENT, LATENT_KEYS | {
        "attention.head_count_kv": 4, "attention.key_length": 10, "attention.value_length": 7}, {}),
    "deepseek2, keys and values apart": (
        "deepseek2", "deepseek_v2", LATENT | {"q_lora_rank": None, "rope_scaling": {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 0.7,
            "mscale_all_dim": 0.7}},
        LATENT_KEYS | LATENT_CACHE | {
            "attention.q_lora_rank": None, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 16, "rope.scaling.yarn_log_multiplier": 0.07}, {},
    ),
    "deepseek2, sigmoids and groups": (
        "deepseek2", "deepseek_v3", LATENT | {
            "n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True},
        LATENT_KEYS | LATENT_CACHE | {
            "expert_gating_func": 2, "expert_weights_norm": True, "expert_group_count": 2,
            "expert_group_used_count": 1, "expert_weights_scale": 2.5}, {},
    ),
    "olmo2": ("olmo2", "olmo2", {}, {}, {}),
    "granite": (
        "granite", "granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25, "logits_scaling": 4.0},
        {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.25, "logit_scale": 4.0}, {},
    ),
}  # fmt: skip
#: Fields that a family may not have: left out where a case says None.
OPTIONAL = ("num_key_value_heads", "intermediate_size")
IDS = [104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33]


def made(model_type, fields):
    sizes = {name: value for name, value in {**SIZES, **fields}.items() if value is not None or name not in OPTIONAL}
    config = AutoConfig.from_config({"model_type": model_type, **sizes})
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


def write(path, model, case, **options):
    architecture, _, _, keys, extra = CASES[case]
    tensors = {name: parameter.asnumpy() for name, parameter in model.parameters_and_names()}
    keys = {key: value for key, value in {**KEYS, **keys}.items() if value is not None}
    write_model(
        path, architecture, tensors, keys, heads=4, groups=2, extra=extra,
        plain_key=6 if "attention.key_length_mla" in keys else None, fused=architecture == "chatglm", **options,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_the_architecture(case, tmp_path):
    _, model_type, fields, *_ = CASES[case]
    model = made(model_type, fields)
    write(tmp_path / "x.gguf", model, case)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf")
    assert type(read) is type(model)
    for layer in range(model.config.num_layers):
        assert read.config.attention_spec(layer) == model.config.attention_spec(layer)
    np.testing.assert_allclose(logits(read), logits(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["mixtral", "chatglm", "bloom", "deepseek2, keys and values apart"])
def test_a_file_in_blocks_generates_as_its_dequantized_weights(case, tmp_path):
    _, model_type, fields, *_ = CASES[case]
    write(tmp_path / "x.gguf", made(model_type, fields), case, blocks=True)
    wide = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf", weight_dtype="float32"))
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf")
    # Few rows are multiplied as numbers of 8 bits; a model that no kernel computes has been widened.
    assert np.abs(logits(kept) - wide).max() <= 0.05 * np.abs(wide).max()
    assert len(kept.generate([IDS], max_new_tokens=3, do_sample=False)[0]) == len(IDS) + 3
