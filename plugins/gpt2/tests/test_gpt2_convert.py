"""MindFormers' GPT-2 checkpoints become safetensors: the same weights, or a clear error."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, GPT2Config, GPT2LMHeadModel
from mf_core.conversion import plan_conversion
from mf_core.errors import UnsupportedError, WeightsError

SIZES = {"vocab_size": 40, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "seq_length": 16}
OUTSIDE = {
    "ln_f.weight": "layernorm.gamma", "ln_f.bias": "layernorm.beta",
    "wte.weight": "embedding.word_embedding.embedding_table",
    "wpe.weight": "embedding.position_embedding.embedding_table",
}  # fmt: skip
PARTS = {
    "ln_1.weight": "layernorm1.gamma", "ln_1.bias": "layernorm1.beta", "ln_2.weight": "layernorm2.gamma",
    "ln_2.bias": "layernorm2.beta", "attn.c_proj": "attention.projection", "mlp.c_fc": "output.mapping",
    "mlp.c_proj": "output.projection",
}  # fmt: skip


def mindformers(model):
    """Return a model's arrays as MindFormers' converter of the published checkpoint writes them."""
    arrays = {}
    for name, parameter in model.parameters_and_names():
        value, name = parameter.asnumpy(), name.removeprefix("transformer.")
        if name in OUTSIDE:
            arrays[f"backbone.{OUTSIDE[name]}"] = value
            continue
        _, layer, part = name.split(".", 2)
        stem, kind = part.rsplit(".", 1)
        if stem == "attn.c_attn":
            for number, third in enumerate(np.split(value, 3, -1), 1):
                arrays[f"backbone.blocks.{layer}.attention.dense{number}.{kind}"] = third.T
        else:
            renamed = PARTS.get(part) or f"{PARTS[stem]}.{kind}"
            arrays[f"backbone.blocks.{layer}.{renamed}"] = value
    return arrays


def save(path, arrays):
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(value)} for name, value in arrays.items()], str(path))
    return path


@pytest.fixture(scope="module")
def model():
    model = GPT2LMHeadModel(GPT2Config(**SIZES))
    draw = np.random.default_rng(3)
    for parameter in model.get_parameters():
        parameter.set_data(ms.Tensor(draw.standard_normal(parameter.shape).astype(np.float32)))
    return model


@pytest.fixture(scope="module")
def arrays(model):
    return mindformers(model)


def test_a_file_of_mindformers_has_the_same_weights(tmp_path, model, arrays):
    state = {
        "backbone.blocks.0.attention.masked_beta": np.float32([-1e4]), "global_step": np.int32([3]),
        "head.weight": arrays["backbone.embedding.word_embedding.embedding_table"],
    }  # fmt: skip
    found = plan_conversion(save(tmp_path / "gpt2.ckpt", {**arrays, **state}), "gpt2", overrides=SIZES)
    assert found.ignored == 3 and "one file" in found.description
    found.write(tmp_path / "made")
    made = dict(AutoModel.from_pretrained(tmp_path / "made").parameters_and_names())
    for name, parameter in model.parameters_and_names():
        np.testing.assert_array_equal(made[name].asnumpy(), parameter.asnumpy())


@pytest.mark.parametrize(
    "change, expected, words",
    [
        ({"backbone.blocks.1.attention.dense2.weight": None}, WeightsError, "has no dense2 beside it"),
        ({"backbone.blocks.1.output.mapping.bias": None}, WeightsError, "mlp.c_fc.bias"),
        ({"backbone.blocks.0.attention.dense1.bias": np.zeros(9, np.float32)}, WeightsError, "another shape"),
        ({"bert.pooler.weight": np.zeros(9, np.float32)}, WeightsError, "no tensor of a GPT-2 checkpoint"),
        ({"backbone.blocks.0.attention.dense1.mindpet_delta_lora_a": np.zeros(9, np.float32)}, UnsupportedError,
         "LoRA"),
        ({"backbone.embedding.position_embedding.embedding_table": np.zeros((9, 8), np.float32)}, WeightsError,
         "seq_length 9 and not 16"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit(tmp_path, arrays, change, expected, words):
    changed = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    with pytest.raises(expected, match=words):
        plan_conversion(save(tmp_path / "gpt2.ckpt", changed), "gpt2", overrides=SIZES)
