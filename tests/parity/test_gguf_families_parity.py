"""GGUF files of transformers' own random models: what is loaded and what is converted are those models again."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("gguf")

from safetensors.numpy import load_file  # noqa: E402

from mf_core import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from mf_core.conversion import plan_conversion  # noqa: E402

from ..support.gguf_models import write_model  # noqa: E402

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 263, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 262,
    "pad_token_id": None, "initializer_range": 0.3,
}  # fmt: skip
KEYS = {
    "block_count": 2, "embedding_length": 32, "feed_forward_length": 48, "context_length": 64,
    "attention.head_count": 4, "attention.head_count_kv": 2,
}  # fmt: skip
EXPERTS = {"expert_count": 4, "expert_used_count": 2}
NORMS = {"attention.layer_norm_epsilon": 1e-5}
HEADS = {"attention.key_length": 12, "attention.value_length": 12}
LATENT = {
    "num_key_value_heads": 4, "kv_lora_rank": 10, "q_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
    "v_head_dim": 7, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 12, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
}  # fmt: skip
LATENT_KEYS = {
    **EXPERTS, "attention.kv_lora_rank": 10, "attention.q_lora_rank": 9, "rope.dimension_count": 4,
    "expert_shared_count": 1, "expert_feed_forward_length": 12, "leading_dense_block_count": 1,
    "attention.head_count_kv": 1, "attention.key_length": 14, "attention.value_length": 10,
    "attention.key_length_mla": 10, "attention.value_length_mla": 7, "expert_group_count": 2,
    "expert_group_used_count": 1,
}  # fmt: skip
#: Architecture -> transformers' class, what differs in its configuration, and in the file's keys.
CASES = {
    "llama": ("Llama", {"tie_word_embeddings": True}, {}),
    "llama, experts": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}, EXPERTS),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 4}, {"block_count": 4}),
    "qwen2": ("Qwen2", {}, {}),
    "qwen3": ("Qwen3", {"head_dim": 12}, HEADS),
    "qwen3moe": ("Qwen3Moe", {"head_dim": 12, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True,
                              "moe_intermediate_size": 20}, {**EXPERTS, **HEADS, "expert_feed_forward_length": 20}),
    "gemma2": ("Gemma2", {"head_dim": 12, "sliding_window": 5, "query_pre_attn_scalar": 12},
               {**HEADS, "attention.sliding_window": 5, "attn_logit_softcapping": 50.0,
                "final_logit_softcapping": 30.0}),
    "gemma3": ("Gemma3", {"head_dim": 12, "sliding_window": 5, "query_pre_attn_scalar": 12, "num_hidden_layers": 6},
               {**HEADS, "attention.sliding_window": 5, "block_count": 6, "rope.freq_base": 1000000.0}),
    "phi3": ("Phi3", {"sliding_window": None}, {"attention.sliding_window": 0}),
    "olmo2": ("Olmo2", {}, {}),
    "granite": ("Granite", {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2,
                            "logits_scaling": 4.0},
                {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.2, "logit_scale": 4.0}),
    "glm4": ("Glm4", {"head_dim": 8}, {"rope.dimension_count": 4}),
    "chatglm": ("Glm", {"head_dim": 8}, {"rope.dimension_count": 4}),
    "gptneox": ("GPTNeoX", {}, {**NORMS, "use_parallel_residual": True, "rope.dimension_count": 2}),
    "bloom": ("Bloom", {}, {**NORMS, "feed_forward_length": 128}),
    "gpt2": ("GPT2", {"n_positions": 64, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_inner": 48}, NORMS),
    "deepseek2": ("DeepseekV2", {**LATENT, "topk_method": "group_limited_greedy"}, LATENT_KEYS),
    "deepseek2, sigmoids": ("DeepseekV3", {**LATENT, "routed_scaling_factor": 2.5}, {
        **LATENT_KEYS, "expert_gating_func": 2, "expert_weights_norm": True, "expert_weights_scale": 2.5}),
}  # fmt: skip
PROMPT = [104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33]


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_a_model_of_transformers(case, tmp_path):
    name, changes, keys = CASES[case]
    architecture = case.partition(",")[0]
    torch.manual_seed(1)
    kind = "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config"
    model = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
    theirs = getattr(transformers, model)(getattr(transformers, kind)(**{**SIZES, **changes})).eval()
    with torch.no_grad():
        for key, tensor in (*theirs.named_parameters(), *theirs.named_buffers()):
            if key.endswith("bias") or "norm" in key:
                tensor.add_(torch.randn_like(tensor) * 0.2)
    theirs.save_pretrained(tmp_path / "theirs")
    rope = getattr(theirs.config, "rope_parameters", None) or {}
    said = {"attention.layer_norm_rms_epsilon": getattr(theirs.config, "rms_norm_eps", None),
            "rope.freq_base": rope.get("rope_theta")}  # fmt: skip
    keys = {**KEYS, **{key: value for key, value in said.items() if value is not None}, **keys}
    write_model(
        tmp_path / "x.gguf", architecture, load_file(tmp_path / "theirs/model.safetensors"), keys, heads=4, groups=2,
        plain_key=6, fused=architecture == "chatglm",
    )  # fmt: skip
    want = theirs.generate(torch.tensor([PROMPT]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf")
    assert ours.generate([PROMPT], max_new_tokens=8, do_sample=False, eos_token_id=None) == want.tolist()
    plan_conversion(tmp_path / "x.gguf").write(tmp_path / "converted")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "converted").eval()
    logits = [model(torch.tensor([PROMPT])).logits.detach().numpy() for model in (theirs, again)]
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=1e-6 * np.abs(logits[0]).max())
    texts = [kind.from_pretrained(tmp_path / "converted")("hello world")["input_ids"]
             for kind in (AutoTokenizer, transformers.AutoTokenizer)]  # fmt: skip
    assert texts[0] == texts[1]
