"""The parallel plans of all families of decoders, as data: what is split, how, and what stays whole."""

import pytest

from mf_core import AutoConfig
from mf_core.backends.base import load_class
from mf_core.models import DecoderForCausalLM
from mf_core.nn import skip_init
from mf_core.plugins.registry import registry

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 16}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 48}
LATENT = {
    **SIZES, "kv_lora_rank": 10, "q_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 6,
    "intermediate_size": 48, "moe_intermediate_size": 12, "first_k_dense_replace": 1, "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}  # fmt: skip
QUERIES = {"self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1}
GATED = {"mlp.gate_proj": 1, "mlp.up_proj": 1}
ROWS = {"self_attn.o_proj", "mlp.down_proj"}
PLAIN = ({**QUERIES, **GATED}, ROWS)
#: Columns and rows of DeepSeek's: its first layer has no experts.
OF_LATENTS = (
    {"self_attn.q_b_proj": 1, "self_attn.kv_b_proj": 1, **GATED, "mlp.experts.*.gate_proj": 1,
     "mlp.experts.*.up_proj": 1, "mlp.shared_experts.gate_proj": 1, "mlp.shared_experts.up_proj": 1},
    {*ROWS, "mlp.experts.*.down_proj", "mlp.shared_experts.down_proj"},
)  # fmt: skip
#: model_type -> fields of its configuration; linear layers that are split by columns, with how many parts are fused in
#: one; those that are split by rows.
PLANS = {
    **dict.fromkeys(
        ("llama", "mistral", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "granite"),
        (GROUPED, *PLAIN),
    ),
    "mixtral": ({**GROUPED, "num_local_experts": 4}, {
        **QUERIES, "block_sparse_moe.experts.*.w1": 1, "block_sparse_moe.experts.*.w3": 1},
        {"self_attn.o_proj", "block_sparse_moe.experts.*.w2"}),
    "qwen3_moe": ({**GROUPED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}, {
        **QUERIES, "mlp.experts.*.gate_proj": 1, "mlp.experts.*.up_proj": 1},
        {"self_attn.o_proj", "mlp.experts.*.down_proj"}),
    "phi3": (GROUPED, {"self_attn.qkv_proj": (4, 2, 2), "mlp.gate_up_proj": 2}, ROWS),
    **dict.fromkeys(("glm", "glm4"), (GROUPED, {**QUERIES, "mlp.gate_up_proj": 2}, ROWS)),
    "gpt_neox": ({**SIZES, "intermediate_size": 48}, {"attention.query_key_value": 1, "mlp.dense_h_to_4h": 1},
                 {"attention.dense", "mlp.dense_4h_to_h"}),
    "bloom": (SIZES, {"self_attention.query_key_value": 1, "mlp.dense_h_to_4h": 1},
              {"self_attention.dense", "mlp.dense_4h_to_h"}),
    "deepseek_v2": (LATENT, *OF_LATENTS),
    "deepseek_v3": ({**LATENT, "n_group": 2, "topk_group": 1}, *OF_LATENTS),
}  # fmt: skip


def made(family):
    """Return a model of a family, without touching weights."""
    config = AutoConfig.from_config({"model_type": family, **PLANS[family][0]})
    with skip_init():
        return load_class(registry.find("model:causal_lm", family))(config.replace(compute_dtype="float32"))


@pytest.fixture(scope="module", params=list(PLANS))
def planned(request):
    """Return the plan of a family, its model, and what is expected."""
    model = made(request.param)
    return model.parallel_plan, model, *PLANS[request.param][1:]


def test_all_declared_families_are_here():
    """Those of GPT-2 and PanGu-alpha, which are written down in their packages, aside."""
    families = {entry.name for entry in registry.entries("model:causal_lm")}
    declared = {family for family in families if issubclass(
        load_class(registry.find("model:causal_lm", family)), DecoderForCausalLM)}  # fmt: skip
    assert declared - {"gpt2", "pangualpha"} == PLANS.keys()


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


def test_adapters_are_put_on_queries_and_values(planned):
    _, model, *_ = planned
    ends = {path.rpartition(".")[2] for path, _ in model.cells_and_names()}
    assert set(model.lora_targets) <= ends and model.lora_targets


def test_gradients_of_what_all_heads_share_are_whole():
    plan, attention = made("deepseek_v3").parallel_plan, "model.layers.1.self_attn"
    for name in ("q_a_proj", "q_a_layernorm", "kv_a_proj_with_mqa", "kv_a_layernorm"):
        assert not plan.is_partial(f"{attention}.{name}.weight")
        assert plan.split(f"{attention}.{name}.weight", vocabulary=False) is None
    assert plan.split(f"{attention}.kv_b_proj.weight", vocabulary=False).axis == 0
