"""Quantized weights: what changes, how little, and what cannot be done with them."""

import os
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from mf_core import (
    AutoModel,
    GPT2Config,
    GPT2LMHeadModel,
    PanguAlphaConfig,
    PanguAlphaHeadModel,
    Trainer,
    TrainingArguments,
    pipeline,
)
from mf_core.errors import ArgumentError, UnsupportedError
from mf_core.lora import LoraConfig, add_lora
from mf_core.nn import Linear
from mf_core.nn.weight_only import WeightOnlyLinear, quantize

SHIPPED = ("gpt2_tiny", "pangualpha_tiny")
TEXTS = {"gpt2_tiny": "Once upon a time", "pangualpha_tiny": "从前"}


def test_quantize_keeps_each_row_to_half_a_step():
    weight = np.random.default_rng(0).standard_normal((2500, 30)).astype(np.float32)
    weight[7] = 0
    weight[8] *= 1e-20
    values = np.empty(weight.shape, np.int8)
    scale = quantize(weight, values)
    assert scale.dtype == np.float32 and scale.shape == (2500,)
    assert np.abs(values).max(axis=1)[[0, 8, 2499]].tolist() == [127] * 3
    assert (np.abs(values * scale[:, None] - weight) <= scale[:, None] * 0.5001).all()
    assert not values[7].any() and scale[7] == 1


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    """The name of a shipped model, and ids of ten texts that it wrote itself."""
    pipe = pipeline("text_generation", request.param)
    texts = pipe([TEXTS[request.param]] * 10, seed=3, max_new_tokens=60)
    ids = [pipe.tokenizer.encode(each["text_generation_text"][0]) for each in texts]
    length = min(map(len, ids))
    assert length > 40
    return request.param, np.array([each[:length] for each in ids], np.int32)


def logits(model, ids):
    return model(ms.Tensor(ids)).asnumpy().astype(np.float64)


def perplexity(given, ids):
    shifted = given[:, :-1] - given[:, :-1].max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.exp(-np.take_along_axis(logs, ids[:, 1:, None].astype(np.int64), 2).mean())


@pytest.mark.parametrize("weight_dtype", ["int8", "bfloat16"])
def test_a_shipped_model_writes_as_it_did(shipped, weight_dtype):
    name, ids = shipped
    full, held = AutoModel.from_pretrained(name), AutoModel.from_pretrained(name, weight_dtype=weight_dtype)
    assert held.weight_dtype == weight_dtype
    before, after = logits(full, ids), logits(held, ids)
    assert np.abs(after - before).max() > 0  # it is another model
    assert perplexity(after, ids) == pytest.approx(perplexity(before, ids), rel=0.01)
    assert (before.argmax(-1) == after.argmax(-1)).mean() >= 0.97


@pytest.mark.parametrize("weight_dtype", ["int8", "bfloat16"])
def test_steps_of_decoding_are_the_whole_pass(shipped, weight_dtype):
    """Cached steps multiply by the kernel, the whole pass by MindSpore's product of widened weights."""
    name, ids = shipped
    model = AutoModel.from_pretrained(name, weight_dtype=weight_dtype)
    prompts = [ids[0, :9].tolist(), ids[1, :4].tolist()]
    found = model.generate(prompts, max_new_tokens=12, do_sample=False, eos_token_id=None)
    for prompt, row in zip(prompts, found, strict=True):
        whole = logits(model, np.array([row], np.int32))[0]
        assert whole.argmax(-1)[len(prompt) - 1 : -1].tolist() == row[len(prompt) :]


#: Greedy ids and the logits of a pass, as the settings of the environment have them.
COMPARED = """
import sys, numpy as np, mindspore as ms
from mf_core import GPT2Config, GPT2LMHeadModel, PanguAlphaConfig, PanguAlphaHeadModel, set_seed
from mf_core.nn.kernels import kernel
SIZES = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 70, "seq_length": 32,
         "initializer_range": 0.3}
print(kernel("weight_only_linear") is not None)
for config, model in ((GPT2Config, GPT2LMHeadModel), (PanguAlphaConfig, PanguAlphaHeadModel)):
    for dtype in (None, "int8"):
        set_seed(1)
        made = model(config(**SIZES)).set_train(False)
        if dtype:
            made.quantize_weights(dtype)
        print(made.generate([[5, 6, 7, 8, 9], [60, 3]], max_new_tokens=24, do_sample=False, eos_token_id=None))
"""


def test_with_kernels_and_without_the_ids_are_the_same():
    said = []
    for setting in ("1", "0"):
        done = subprocess.run(
            [sys.executable, "-c", COMPARED], capture_output=True, text=True, env={**os.environ, "MF_KERNELS": setting}
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    assert said[0][0] == "True" and said[1][0] == "False"
    assert said[0][1:] == said[1][1:] and len(said[0]) == 5


def small(family=GPT2Config, model=GPT2LMHeadModel, **fields):
    np.random.seed(0)
    return model(family(hidden_size=32, num_layers=2, num_heads=2, vocab_size=70, seq_length=32, **fields))


@pytest.mark.parametrize(("family", "model"), [(GPT2Config, GPT2LMHeadModel), (PanguAlphaConfig, PanguAlphaHeadModel)])
def test_a_model_that_has_computed_changes_too(family, model):
    made = small(family, model, initializer_range=0.1)
    prompt = list(range(1, 9))
    made.generate(prompt, max_new_tokens=4, do_sample=False)
    before = logits(made, [prompt])
    made.quantize_weights("int8")
    after = logits(made, [prompt])
    made.generate(prompt, max_new_tokens=4, do_sample=False)
    assert 0 < np.abs(after - before).max() < 0.1 * np.abs(before).max()
    assert not any(isinstance(cell, Linear) for _, cell in made.cells_and_names())
    held = [cell for _, cell in made.cells_and_names() if isinstance(cell, WeightOnlyLinear)]
    assert held and all(str(cell.weight.dtype) == "Int8" for cell in held)


def test_what_cannot_be_done_is_said(tmp_path):
    held = small()
    held.quantize_weights("int8")
    with pytest.raises(UnsupportedError, match="stored in int8 is not saved"):
        held.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedError, match="gets no adapters"):
        add_lora(held)
    with pytest.raises(UnsupportedError, match="they are stored in int8 already"):
        held.quantize_weights("bfloat16")
    trainer = Trainer(
        TrainingArguments(output_dir=str(tmp_path / "out"), max_steps=1, batch_size=1), task="text_generation",
        model=held, train_dataset=[np.arange(9, dtype=np.int32)],
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="cannot be trained"):
        trainer.train()
    assert list(tmp_path.rglob("*.safetensors")) == []
    adapted = small()
    add_lora(adapted, LoraConfig(r=2))
    with pytest.raises(UnsupportedError, match="merge_lora"):
        adapted.quantize_weights("int8")


def test_another_type_is_refused_before_anything_is_loaded():
    with pytest.raises(ArgumentError, match="weight_dtype='int4' is none of 'int8', 'bfloat16'"):
        AutoModel.from_pretrained("gpt2_tiny", weight_dtype="int4")
    with pytest.raises(ArgumentError, match="weight_dtype='int4' is none of 'int8', 'bfloat16'"):
        small().quantize_weights("int4")
    with pytest.raises(ArgumentError, match=r"model\.quantize_weights\('int8'\)"):
        pipeline("text_generation", AutoModel.from_pretrained("gpt2_tiny"), weight_dtype="int8")
