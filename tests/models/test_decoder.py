"""A declared decoder has kernels, plan, LoRA, stages and recomputation without a line about them."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core.generation.rows import CachedRows
from mf_core.lora import LoraConfig, add_lora
from mf_core.nn.kernels import kernel
from mf_core.parallel import RecomputeConfig

from ..support.decoder_families import FAMILIES, small

IDS = np.random.default_rng(0).integers(0, 60, (2, 12)).astype(np.int32)


@pytest.fixture(scope="module")
def models():
    np.random.seed(0)
    return {name: small(name) for name in ("llama", "qwen3")}


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_both_generate_without_graphs_where_the_backend_can(models, family):
    assert (models[family].decoder_arrays() is not None) is (kernel("decoder_pass") is not None)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_cache_gives_the_same_logits(models, family):
    model = models[family]
    wanted = model(Tensor(IDS)).asnumpy()
    with CachedRows(model, 2) as rows:
        found = [rows.put(IDS[:, :9].tolist())[:, -1], rows.put(IDS[:, 9:10].tolist())[:, -1]]
    assert np.abs(np.stack(found, 1) - wanted[:, 8:10]).max() < 1e-4 * np.abs(wanted).max()


def test_the_plan_follows_from_the_roles_of_layers(models):
    plan = models["qwen3"].parallel_plan
    layer = "model.layers.*."
    assert set(plan.columns) == {f"{layer}{name}" for name in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj",
    )}  # fmt: skip
    assert plan.rows == (f"{layer}self_attn.o_proj", f"{layer}mlp.down_proj") and plan.outputs_first
    assert plan.heads == (f"{layer}self_attn",) and plan.layers == ("model.layers.*",)
    assert plan.vocabulary == ("model.embed_tokens", "lm_head")
    assert plan.first == ("model.embed_tokens",) and plan.last == ("model.norm", "lm_head")
    assert FAMILIES["qwen3"][0].plan_for(models["qwen3"].config) == plan


def test_norms_of_heads_have_a_part_of_their_gradient_on_each_device(models):
    plan = models["qwen3"].parallel_plan
    names = [name for name, _ in models["qwen3"].parameters_and_names() if "layers.0" in name]
    partial = [name for name in names if plan.split(name, vocabulary=False) is None and plan.is_partial(name)]
    assert partial == [f"model.layers.0.self_attn.{name}.weight" for name in ("q_norm", "k_norm")]
    biased = small("llama", attention_bias=True).parallel_plan
    assert not biased.is_partial("model.layers.0.self_attn.o_proj.bias")  # it is added after the sum
    olmo = small("olmo2").parallel_plan
    assert olmo.split("model.layers.0.self_attn.q_norm.weight", vocabulary=False) is not None


def test_stages_make_the_whole(models):
    model = models["qwen3"]
    wanted, count = model(Tensor(IDS)).asnumpy(), len(model.blocks)
    model.set_stage(range(1), is_last=False)
    hidden = model.body(Tensor(IDS))
    model.set_stage(range(1, count), is_last=True)
    found = model.head(model.body(Tensor(IDS), hidden=hidden)).asnumpy()
    model.set_stage(range(count), is_last=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_adapters_and_recomputation_need_no_line():
    model = small("qwen3")
    add_lora(model, LoraConfig(r=2))
    adapted = [name.split(".")[-2] for name, _ in model.parameters_and_names() if name.endswith("lora_A")]
    assert adapted == ["q_proj", "v_proj"] * 2
    RecomputeConfig(recompute=True).check(model)
