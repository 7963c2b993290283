"""Families of decoders trained in clusters of real processes: the same losses, however they are split."""

import pytest

from ..support.clusters import run_scenarios

pytestmark = pytest.mark.slow

SIZES = {
    "vocab_size": 32, "hidden_size": 16, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 32, "seq_length": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
#: What families differ in: windows and norms around, experts, fused projections, latents with experts of which some
#: are shared.
FAMILIES = {
    "gemma3": {**SIZES, "model_type": "gemma3_text", "head_dim": 8, "sliding_window": 3,
               "layer_types": ["sliding_attention", "full_attention"]},
    "mixtral": {**SIZES, "model_type": "mixtral", "num_local_experts": 4},
    "glm4": {**SIZES, "model_type": "glm4", "head_dim": 8},
    "deepseek_v3": {
        **{name: size for name, size in SIZES.items() if name != "num_key_value_heads"}, "model_type": "deepseek_v3",
        "kv_lora_rank": 10, "q_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 6,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "first_k_dense_replace": 1,
        "n_group": 2, "topk_group": 1,
    },
}  # fmt: skip
TENSOR = {"model_parallel": 2, "vocab_emb_dp": False, "use_seq_parallel": True}
PIPELINE = {"pipeline_stage": 2, "micro_batch_num": 2}
EXPERTS = {"data_parallel": 2, "expert_parallel": 2}
CASES = [
    ("gemma3", "tensor", TENSOR), ("gemma3", "pipeline", PIPELINE), ("mixtral", "tensor", TENSOR),
    ("mixtral", "pipeline", PIPELINE), ("mixtral", "experts", EXPERTS), ("glm4", "tensor", TENSOR),
    ("deepseek_v3", "tensor", TENSOR), ("deepseek_v3", "pipeline", PIPELINE), ("deepseek_v3", "experts", EXPERTS),
]  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    scenarios = [{"name": name, "model": model} for name, model in FAMILIES.items()]
    return run_scenarios(tmp_path_factory.mktemp("alone"), 1, scenarios)[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The results of two processes, which run all cases one after the other."""
    scenarios = [{"name": f"{family}, {way}", "model": FAMILIES[family], "parallel": parallel}
                 for family, way, parallel in CASES]  # fmt: skip
    return run_scenarios(tmp_path_factory.mktemp("cluster"), 2, scenarios)[0]


@pytest.mark.parametrize(("family", "way"), [case[:2] for case in CASES])
def test_losses_equal_those_of_one_process(alone, cluster, family, way):
    expected, got = alone[family], cluster[f"{family}, {way}"]
    assert got["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    assert got["tokens"] == expected["tokens"]
    assert expected["losses"][-1] < expected["losses"][0]
