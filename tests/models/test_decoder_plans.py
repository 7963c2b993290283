"""The parallel plans of the families, as data: what is split, how, and what stays whole."""

import pytest
from mf_bloom.config import BloomConfig
from mf_bloom.modeling import BloomForCausalLM
from mf_deepseek.config import DeepseekV3Config
from mf_deepseek.modeling import DeepseekV3ForCausalLM
from mf_glm.config import Glm4Config
from mf_glm.modeling import Glm4ForCausalLM
from mf_gpt_neox.config import GPTNeoXConfig
from mf_gpt_neox.modeling import GPTNeoXForCausalLM
from mf_qwen.config import Qwen3Config, Qwen3MoeConfig
from mf_qwen.modeling import Qwen3ForCausalLM, Qwen3MoeForCausalLM

from mf_core.nn import skip_init

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 16}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 48}
LATENT = {
    "kv_lora_rank": 10, "q_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 6,
    "intermediate_size": 48, "moe_intermediate_size": 12, "first_k_dense_replace": 1, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
}  # fmt: skip
#: Family -> model, configuration, columns, rows, and parameters of a layer that are on no device in part.
PLANS = {
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig(**SIZES, intermediate_size=48), {
        "attention.query_key_value": 1, "mlp.dense_h_to_4h": 1}, {"attention.dense", "mlp.dense_4h_to_h"}),
    "bloom": (BloomForCausalLM, BloomConfig(**SIZES), {
        "self_attention.query_key_value": 1, "mlp.dense_h_to_4h": 1}, {"self_attention.dense", "mlp.dense_4h_to_h"}),
    "glm4": (Glm4ForCausalLM, Glm4Config(**GROUPED), {
        "self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1, "mlp.gate_up_proj": 2},
        {"self_attn.o_proj", "mlp.down_proj"}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**GROUPED), {
        "self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1, "mlp.gate_proj": 1, "mlp.up_proj": 1},
        {"self_attn.o_proj", "mlp.down_proj"}),
    "qwen3_moe": (Qwen3MoeForCausalLM, Qwen3MoeConfig(
        **GROUPED, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16), {
        "self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1, "mlp.experts.*.gate_proj": 1,
        "mlp.experts.*.up_proj": 1}, {"self_attn.o_proj", "mlp.experts.*.down_proj"}),
    "deepseek_v3": (DeepseekV3ForCausalLM, DeepseekV3Config(**SIZES, **LATENT), {
        "self_attn.q_b_proj": 1, "self_attn.kv_b_proj": 1, "mlp.gate_proj": 1, "mlp.up_proj": 1,
        "mlp.experts.*.gate_proj": 1, "mlp.experts.*.up_proj": 1, "mlp.shared_experts.gate_proj": 1,
        "mlp.shared_experts.up_proj": 1},
        {"self_attn.o_proj", "mlp.down_proj", "mlp.experts.*.down_proj", "mlp.shared_experts.down_proj"}),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(PLANS))
def planned(request):
    """Return the plan of a family, its model, and what is expected."""
    model, config, columns, rows = PLANS[request.param]
    with skip_init():
        made = model(config.replace(compute_dtype="float32"))
    return made.parallel_plan, made, columns, rows


def test_linear_layers_are_split_by_their_roles(planned):
    plan, _, columns, rows = planned
    layer = f"{plan.layers[0]}."
    assert {name.removeprefix(layer): fused for name, fused in plan.columns.items()} == columns
    assert {name.removeprefix(layer) for name in plan.rows} == rows
    assert len(plan.heads) == 1 and plan.outputs_first


def test_all_of_the_model_is_in_a_stage(planned):
    plan, model, *_ = planned
    assert [f"{path}." for path, cell in model.cells_and_names() if cell in model.blocks] == [
        f"{plan.layers[0].replace('*', str(number))}." for number in range(2)
    ]
    outside = {name.rpartition(".")[0] for name, _ in model.parameters_and_names()
               if not name.startswith(plan.layers[0].removesuffix("*"))}  # fmt: skip
    assert outside == {*plan.first, *plan.last}


def test_gradients_of_what_all_heads_share_are_whole():
    model, config, *_ = PLANS["deepseek_v3"]
    with skip_init():
        plan = model(config.replace(compute_dtype="float32")).parallel_plan
    attention = "model.layers.1.self_attn"
    for name in ("q_a_proj", "q_a_layernorm", "kv_a_proj_with_mqa", "kv_a_layernorm"):
        assert not plan.is_partial(f"{attention}.{name}.weight")
        assert plan.split(f"{attention}.{name}.weight", vocabulary=False) is None
    assert plan.split(f"{attention}.kv_b_proj.weight", vocabulary=False).axis == 0
