"""Layers that are one operator when generating: where they are, that they give the same, and where they are not."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mf_core import GPT2Config, GPT2LMHeadModel, PanguAlphaConfig, PanguAlphaHeadModel
from mf_core.generation.rows import CachedRows
from mf_core.lora import LoraConfig, add_lora
from mf_core.nn.cells import replace_cell
from mf_core.nn.kernels import kernel

GPT2, PANGU = (GPT2Config, GPT2LMHeadModel), (PanguAlphaConfig, PanguAlphaHeadModel)

pytestmark = pytest.mark.skipif(kernel("decoder_layer") is None, reason="the backend has no such kernel")


def small(family=GPT2, **fields):
    np.random.seed(0)
    config, model = family
    sizes = {"hidden_size": 36, "num_layers": 2, "num_heads": 2, "vocab_size": 70, "seq_length": 64}
    made = model(config(**{**sizes, "initializer_range": 0.3, **fields})).set_train(False)
    for name, parameter in made.parameters_and_names():
        if name.endswith("bias"):  # which begin at 0
            parameter.set_data(Tensor(np.random.standard_normal(parameter.shape).astype(np.float32)))
    return made


def used(model, length=1):
    """Count the layers that take the kernel in a pass of so many tokens over the cache."""
    layers, heads, size = model.cache_shape
    counted = []

    def counting(*arguments):
        counted.append(arguments)
        return kernel("decoder_layer")(*arguments)

    for block in model.blocks:
        block.layer_kernel = counting
    keys, values = (
        tuple(Parameter(ms.ops.zeros((heads * 24, size), ms.float32)) for _ in range(layers)) for _ in range(2)
    )
    places = np.arange(length, dtype=np.int32)
    slots = Tensor((np.arange(heads, dtype=np.int32)[:, None] * 24 + places).reshape(-1))
    ids, bias = Tensor(places[None]), Tensor(np.zeros((1, 1, length, 24), np.float32))
    model.decode(ids, ids, bias, tuple((slots, key, value) for key, value in zip(keys, values, strict=True)))
    for block in model.blocks:
        block.layer_kernel = kernel("decoder_layer")
    return len(counted)


def differ(model):
    """Return by how much the logits over the cache differ from those of one pass, and the largest of them."""
    ids = np.random.default_rng(1).integers(0, 70, (2, 24)).astype(np.int32)
    wanted = model(Tensor(ids)).asnumpy()
    with CachedRows(model, 2) as rows:
        rows.reserve(30)
        found = [rows.put(ids[:, :9].tolist())[:, -1:]]  # many rows, and then few
        found += [rows.put(ids[:, 9:13].tolist(), 3)]
        found += [rows.put(ids[:, i : i + 1].tolist()) for i in range(13, 24)]
    places = [8, *range(10, 24)]
    return np.abs(np.concatenate(found, 1) - wanted[:, places]).max(), np.abs(wanted).max()


@pytest.mark.parametrize(
    ("family", "fields", "weight_dtype"),
    [
        (GPT2, {}, None), (GPT2, {"hidden_act": "silu", "post_layernorm_residual": True, "num_heads": 4}, None),
        (PANGU, {}, None), (PANGU, {"hidden_act": "gelu", "post_layernorm_residual": True, "ffn_hidden_size": 9}, None),
        (GPT2, {}, "int8"), (PANGU, {}, "bfloat16"),
    ],
    ids=str,
)  # fmt: skip
def test_all_layers_are_and_give_the_same(family, fields, weight_dtype):
    model = small(family, **fields)
    if weight_dtype is not None:
        model.hold_weights(weight_dtype)
    assert used(model) == used(model, length=20) == 2
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


def test_of_a_model_with_experts_the_top_layer_is():
    model = small(PANGU, use_moe=True, expert_num=2, per_token_num_experts_chosen=1)
    assert used(model) == 1
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


@pytest.mark.parametrize(
    "fields",
    [{"hidden_act": "relu"}, {"softmax_compute_type": "float16"}, {"layernorm_compute_type": "float16"}],
    ids=str,
)
def test_what_the_kernel_does_not_compute_is_done_as_it_was(fields):
    model = small(**fields)
    assert used(model) == 0
    apart, largest = differ(model)
    assert apart < 1e-2 * largest


def test_adapters_count_also_when_they_come_after_a_graph():
    model = small()
    before, _ = differ(model)
    ids = Tensor(np.array([[1, 2, 3]], np.int32))
    plain = model(ids).asnumpy()
    add_lora(model, LoraConfig(r=2))
    for name, parameter in model.parameters_and_names():
        if name.endswith("lora_B"):
            parameter.set_data(Tensor(np.ones(parameter.shape, np.float32)))
    model.set_train(False)
    assert np.abs(model(ids).asnumpy() - plain).max() > 0.1
    assert used(model) == 0
    apart, largest = differ(model)
    assert max(apart, before) < 2e-5 * largest


class Louder(nn.Cell):
    """A cell in the place of another, which does something more."""

    def __init__(self, inner):
        super().__init__(auto_prefix=False)
        self.inner = inner

    def construct(self, x):
        return 2 * self.inner(x)


@pytest.mark.parametrize("name", ["transformer.h.1.ln_2", "transformer.h.1.mlp.c_fc", "transformer.h.1.mlp.act"])
def test_a_cell_that_is_replaced_is_heeded(name):
    model = small()
    replace_cell(model, name, Louder(dict(model.cells_and_names())[name]))
    assert used(model) == 1
    apart, largest = differ(model)
    assert apart < 2e-5 * largest


def test_a_parameter_that_is_none_of_the_parts_is_heeded():
    model = small()
    model.blocks[0].mlp.more = Parameter(Tensor(np.ones(3, np.float32)), name="more")
    assert used(model) == 1


def test_training_keeps_its_way():
    model = small(hidden_dropout_rate=0.5)
    model.set_train(True)
    assert used(model) == 0


def test_products_of_a_prompt_are_rounded_where_the_layer_computes_in_bfloat16():
    ids = np.random.default_rng(1).integers(0, 70, (2, 12)).astype(np.int32)
    rounding, exact = small(compute_dtype="bfloat16"), small()
    wanted = rounding(Tensor(ids)).asnumpy()
    assert used(rounding, length=20) == 2
    with CachedRows(rounding, 2) as rows:
        found = rows.put(ids.tolist(), 12)
    apart = np.abs(exact(Tensor(ids)).asnumpy() - wanted).max()
    assert np.abs(found - wanted).max() < apart / 10
