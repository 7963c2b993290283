"""Which models generate by the backend's kernel for whole passes, and that it gives what graphs do."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mf_core import GPT2Config, GPT2LMHeadModel, PanguAlphaConfig, PanguAlphaHeadModel
from mf_core.generation.rows import CachedRows
from mf_core.lora import LoraConfig, add_lora
from mf_core.nn.cells import replace_cell
from mf_core.nn.kernels import kernel

GPT2, PANGU = (GPT2Config, GPT2LMHeadModel), (PanguAlphaConfig, PanguAlphaHeadModel)

pytestmark = pytest.mark.skipif(kernel("decoder_pass") is None, reason="the backend has no such kernel")


def small(family=GPT2, **fields):
    np.random.seed(0)
    config, model = family
    sizes = {"hidden_size": 36, "num_layers": 2, "num_heads": 2, "vocab_size": 70, "seq_length": 64}
    made = model(config(**{**sizes, "initializer_range": 0.3, **fields})).set_train(False)
    for name, parameter in made.parameters_and_names():
        if name.endswith("bias"):  # which begin at 0
            parameter.set_data(Tensor(np.random.standard_normal(parameter.shape).astype(np.float32)))
    return made


def is_direct(model):
    """Return whether the model's passes are run by the kernel."""
    return model.decoder_arrays() is not None


def differ(model):
    """Return by how much the logits over the cache differ from those of one pass, and the largest of them."""
    ids = np.random.default_rng(1).integers(0, 70, (2, 24)).astype(np.int32)
    wanted = model(Tensor(ids)).asnumpy()
    with CachedRows(model, 2) as rows:
        rows.reserve(30)
        found = [rows.put(ids[:, :9].tolist())[:, -1:]]  # many rows, and then few
        found += [rows.put(ids[:, 9:13].tolist(), 3)]
        found += [rows.put(ids[:, i : i + 1].tolist()) for i in range(13, 24)]
    positions = [8, *range(10, 24)]
    return np.abs(np.concatenate(found, 1) - wanted[:, positions]).max(), np.abs(wanted).max()


@pytest.mark.parametrize(
    ("family", "fields", "weight_dtype"),
    [
        (GPT2, {}, None), (GPT2, {"hidden_act": "silu", "post_layernorm_residual": True, "num_heads": 4}, None),
        (PANGU, {}, None), (PANGU, {"hidden_act": "gelu", "post_layernorm_residual": True, "ffn_hidden_size": 9}, None),
        (GPT2, {}, "int8"), (PANGU, {}, "bfloat16"),
    ],
    ids=str,
)  # fmt: skip
def test_models_that_are(family, fields, weight_dtype):
    model = small(family, **fields)
    if weight_dtype is not None:
        model.quantize_weights(weight_dtype)
    assert is_direct(model)
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


@pytest.mark.parametrize("chosen", [1, 2])
def test_a_model_with_experts_is(chosen):
    model = small(PANGU, use_moe=True, expert_num=3, per_token_num_experts_chosen=chosen)
    assert is_direct(model)
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


@pytest.mark.parametrize(
    "fields",
    [{"hidden_act": "tanh"}, {"softmax_compute_type": "float16"}, {"layernorm_compute_type": "float16"}],
    ids=str,
)
def test_models_that_are_not_have_graphs(fields):
    model = small(num_layers=1, **fields)
    assert not is_direct(model)
    apart, largest = differ(model)
    assert apart < 1e-2 * largest


def test_adapters_count_also_when_they_come_after_a_run():
    model = small(num_layers=1)
    before, _ = differ(model)
    ids = Tensor(np.array([[1, 2, 3]], np.int32))
    plain = model(ids).asnumpy()
    add_lora(model, LoraConfig(r=2))
    for name, parameter in model.parameters_and_names():
        if name.endswith("lora_B"):
            parameter.set_data(Tensor(np.ones(parameter.shape, np.float32)))
    model.set_train(False)
    assert np.abs(model(ids).asnumpy() - plain).max() > 0.1
    assert not is_direct(model)
    apart, largest = differ(model)
    assert max(apart, before) < 2e-5 * largest


class Louder(nn.Cell):
    """A replacement for a cell, which does something more."""

    def __init__(self, inner):
        super().__init__(auto_prefix=False)
        self.inner = inner

    def construct(self, x):
        return 2 * self.inner(x)


@pytest.mark.parametrize("name", ["transformer.h.0.ln_2", "transformer.h.0.mlp.c_fc", "transformer.h.0.mlp.act"])
def test_a_cell_that_is_replaced_is_used(name):
    model = small(num_layers=1)
    replace_cell(model, name, Louder(dict(model.cells_and_names())[name]))
    assert not is_direct(model)
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


def test_a_parameter_that_is_none_of_the_parts_is_used():
    model = small()
    model.blocks[0].mlp.more = Parameter(Tensor(np.ones(3, np.float32)), name="more")
    assert not is_direct(model)


def test_new_weights_are_used_in_the_next_run():
    model = small()
    before = model.generate([[1, 2]], max_new_tokens=8, do_sample=False, eos_token_id=None)
    parameter = model.transformer.wte.weight
    parameter.set_data(Tensor(parameter.asnumpy()[::-1].copy()))
    fresh = small()
    fresh.transformer.wte.weight.set_data(Tensor(parameter.asnumpy()))
    after = model.generate([[1, 2]], max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert after == fresh.generate([[1, 2]], max_new_tokens=8, do_sample=False, eos_token_id=None) != before


def test_products_of_a_prompt_are_rounded_where_the_layer_computes_in_bfloat16():
    ids = np.random.default_rng(1).integers(0, 70, (2, 12)).astype(np.int32)
    rounding, exact = small(compute_dtype="bfloat16"), small()
    wanted = rounding(Tensor(ids)).asnumpy()
    assert is_direct(rounding)
    with CachedRows(rounding, 2) as rows:
        found = rows.put(ids.tolist(), 12)
    apart = np.abs(exact(Tensor(ids)).asnumpy() - wanted).max()
    assert np.abs(found - wanted).max() < apart / 10
