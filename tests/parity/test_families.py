"""Each family against transformers with the same weights: logits, greedy texts alone and in a batch, and back."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mindspore import Tensor  # noqa: E402

from mf_core import AutoModelForCausalLM  # noqa: E402

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": None,
    "pad_token_id": None, "initializer_range": 0.3,
}  # fmt: skip
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
MULTIPLIERS = {
    "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2, "logits_scaling": 4.0,
}  # fmt: skip
LONG = {"short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [1.0, 3.0, 5.0, 7.0]}
LATENT = {
    "num_key_value_heads": 4, "kv_lora_rank": 10, "q_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
    "v_head_dim": 7, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 2,
    "moe_intermediate_size": 12, "num_hidden_layers": 2,
}  # fmt: skip
GROUPS = {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5}


def rope(kind, **numbers):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **numbers}}


#: Name of a case -> transformers' class, and what differs from the sizes above.
CASES = {
    "llama": ("Llama", {}),
    "llama, tied, biases": ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama, odd head": ("Llama", {"head_dim": 6}),
    "llama, linear": ("Llama", rope("linear", factor=4.0)),
    "llama, dynamic": ("Llama", rope("dynamic", factor=4.0)),
    "llama, llama3": ("Llama", rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                    original_max_position_embeddings=16)),
    "llama, yarn": ("Llama", rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama, longrope": ("Llama", rope("longrope", original_max_position_embeddings=32, factor=2.0, **LONG)),
    "mistral": ("Mistral", {"sliding_window": 5, "head_dim": 8}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 4, "no_rope_layers": [1, 0, 1, 0]}),
    "qwen2": ("Qwen2", {}),
    "qwen2, window": ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 12}),
    "qwen3_moe": ("Qwen3Moe", {"head_dim": 12, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True,
                               "moe_intermediate_size": 20}),
    "gpt_neox": ("GPTNeoX", {}),
    "gpt_neox, odd head": ("GPTNeoX", {"hidden_size": 40, "rope_parameters": {
        "rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0, "partial_rotary_factor": 0.4}}),
    "gpt_neox, in sequence, tied, no biases": ("GPTNeoX", {
        "use_parallel_residual": False, "tie_word_embeddings": True, "attention_bias": False}),
    "bloom": ("Bloom", {}),
    "bloom, odd head, 6 of them": ("Bloom", {"num_attention_heads": 6, "hidden_size": 42}),
    "bloom, untied, normed residual": ("Bloom", {
        "tie_word_embeddings": False, "apply_residual_connection_post_layernorm": True}),
    "glm": ("Glm", {"head_dim": 12}),
    "glm4": ("Glm4", {"head_dim": 8}),
    "glm4, tied, no biases": ("Glm4", {"head_dim": 20, "tie_word_embeddings": True, "attention_bias": False}),
    "gemma2": ("Gemma2", {"head_dim": 8, "sliding_window": 5, "query_pre_attn_scalar": 7}),
    "gemma2, odd head, biases, no caps": (
        "Gemma2", {"head_dim": 6, "attention_bias": True, "attn_logit_softcapping": None,
                   "final_logit_softcapping": None, "tie_word_embeddings": False},
    ),
    "gemma3": ("Gemma3", {"head_dim": 12, "sliding_window": 4, "layer_types": MIXED}),
    "gemma3, linear": (
        "Gemma3", {"head_dim": 8, "sliding_window": 4, "layer_types": MIXED, "final_logit_softcapping": 5.0,
                   "rope_parameters": {
                       "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0},
                       "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                   }},
    ),
    "phi3, window": ("Phi3", {"sliding_window": 5, "tie_word_embeddings": True}),
    "phi3, longrope, part of a head": (
        "Phi3", {"original_max_position_embeddings": 48,
                 **rope("longrope", short_factor=[1.0, 1.5], long_factor=[1.0, 3.0], partial_rotary_factor=0.5)},
    ),
    "phi3, longrope, text that becomes long": (
        "Phi3", {"original_max_position_embeddings": 20, "sliding_window": 9, **rope("longrope", **LONG)},
    ),
    "olmo2": ("Olmo2", {}),
    "olmo2, biases, tied": ("Olmo2", {"attention_bias": True, "tie_word_embeddings": True}),
    "granite": ("Granite", MULTIPLIERS),
    "granite, tied, biases": (
        "Granite", {**MULTIPLIERS, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    ),
    "deepseek_v2": ("DeepseekV2", {**LATENT, "q_lora_rank": None, "first_k_dense_replace": 1}),
    "deepseek_v2, groups, biases, mscale": ("DeepseekV2", {
        **LATENT, **GROUPS, "topk_method": "group_limited_greedy", "attention_bias": True,
        **rope("yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.7)}),
    "deepseek_v3, groups": ("DeepseekV3", {**LATENT, **GROUPS, "first_k_dense_replace": 1}),
    "deepseek_v3, two mscales": ("DeepseekV3", {
        **LATENT, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "rope_interleave": False,
        "tie_word_embeddings": True, "norm_topk_prob": False, "q_lora_rank": None,
        **rope("yarn", factor=4.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=0.5)}),
}  # fmt: skip
#: Configurations that are not called as their models are.
CONFIGS = {"Gemma3": "Gemma3TextConfig"}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [20, 21], [30, 31, 32, 33, 34]]


@pytest.fixture(scope="module", params=list(CASES))
def pair(request, tmp_path_factory):
    """Return transformers' model, ours from its directory, and the directory."""
    name, changes = CASES[request.param]
    torch.manual_seed(1)
    config = getattr(transformers, CONFIGS.get(name, f"{name}Config"))(**{**SIZES, **changes})
    theirs = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            if key.endswith("bias") or "norm" in key:  # not the zeros and ones that they begin with
                parameter.add_(torch.randn_like(parameter) * 0.2)
        for key, buffer in theirs.named_buffers():
            if key.endswith("correction_bias"):
                buffer.add_(torch.randn_like(buffer) * 0.2)
    folder = tmp_path_factory.mktemp("family")
    theirs.save_pretrained(folder)
    return theirs, AutoModelForCausalLM.from_pretrained(folder), folder


def logits(model, ids):
    return model(torch.tensor([ids])).logits[0].detach().numpy()


def test_logits(pair):
    theirs, ours, _ = pair
    want = logits(theirs, PROMPTS[0])
    got = ours(Tensor(np.array([PROMPTS[0]], np.int32))).asnumpy()[0]
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_greedy_texts_alone_and_in_a_batch(pair):
    theirs, ours, _ = pair
    want = []
    for prompt in PROMPTS:
        made = theirs.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        want.append(made[0].tolist())
    options = {"max_new_tokens": 24, "do_sample": False, "eos_token_id": None}
    assert [ours.generate([prompt], **options)[0] for prompt in PROMPTS] == want
    assert ours.generate(PROMPTS, **options) == want


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    again = type(theirs).from_pretrained(tmp_path).eval()
    assert np.array_equal(logits(again, PROMPTS[0]), logits(theirs, PROMPTS[0]))
    before, after = (json.loads(( each / "config.json").read_text()) for each in (folder, tmp_path))
    assert after["model_type"] == before["model_type"]
