"""GPT-2's model: shapes, padding, cache, types, and what it refuses."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.errors import ArgumentTypeError, BackendError, ConfigError, FileMissingError
from mf_core.nn import set_random_key

SMALL = {"vocab_size": 100, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}


@pytest.fixture(scope="module")
def model():
    set_seed(3)
    return GPT2LMHeadModel(GPT2Config(**SMALL, initializer_range=0.1))


def ids_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(np.int32)


def test_logits_have_the_vocabulary_for_each_token(model):
    logits = model(ms.Tensor(ids_of(2, 7)))
    assert logits.shape == (2, 7, 100)
    assert logits.dtype == ms.float32


def test_a_token_sees_nothing_after_it(model):
    ids = ids_of(1, 10)
    changed = ids.copy()
    changed[0, 6:] = (changed[0, 6:] + 1) % 100
    before, after = (model(ms.Tensor(x)).asnumpy()[0] for x in (ids, changed))
    np.testing.assert_array_equal(before[:6], after[:6])
    assert np.abs(before[6:] - after[6:]).max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(model, side):
    ids = ids_of(1, 9)
    alone = model(ms.Tensor(ids)).asnumpy()[0]
    padding = np.full((1, 5), 7, np.int32)
    parts = [padding, ids] if side == "left" else [ids, padding]
    mask = [np.zeros((1, 5), np.int32), np.ones((1, 9), np.int32)]
    mask = mask if side == "left" else mask[::-1]
    padded = model(ms.Tensor(np.hstack(parts)), ms.Tensor(np.hstack(mask))).asnumpy()[0]
    kept = padded[5:] if side == "left" else padded[:9]
    np.testing.assert_allclose(kept, alone, atol=1e-5)


def test_the_whole_model_compiles_and_gives_the_same(model):
    ids = ms.Tensor(ids_of(2, 8))
    mask = ms.Tensor(np.array([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8], np.int32))

    @ms.jit
    def compiled(ids, mask):
        return model(ids, mask)

    np.testing.assert_allclose(compiled(ids, mask).asnumpy(), model(ids, mask).asnumpy(), atol=1e-5)


def test_parameter_names_are_the_checkpoints_own(model):
    names = {name for name, _ in model.parameters_and_names()}
    assert {"transformer.wte.weight", "transformer.h.1.attn.c_attn.weight", "transformer.ln_f.bias"} <= names
    assert len(names) == 2 * 12 + 4
    assert model.num_parameters() == 100 * 32 + 64 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 64


def test_dropout_acts_in_training_only(model):
    ids = ms.Tensor(ids_of(1, 8))
    assert not model.training
    np.testing.assert_array_equal(model(ids).asnumpy(), model(ids).asnumpy())
    model.set_train(True)
    try:
        set_random_key(1)
        first = model(ids).asnumpy()
        set_random_key(2)
        assert np.abs(first - model(ids).asnumpy()).max() > 1e-4
    finally:
        model.set_train(False)


def test_residual_after_the_norm_is_another_function():
    set_seed(3)
    other = GPT2LMHeadModel(GPT2Config(**SMALL, initializer_range=0.1, post_layernorm_residual=True))
    set_seed(3)
    usual = GPT2LMHeadModel(GPT2Config(**SMALL, initializer_range=0.1))
    ids = ms.Tensor(ids_of(1, 8))
    assert np.abs(other(ids).asnumpy() - usual(ids).asnumpy()).max() > 1e-3


def test_half_precision_is_computed_when_asked_for(model):
    set_seed(3)
    half = GPT2LMHeadModel(GPT2Config(**SMALL, initializer_range=0.1, compute_dtype="fp16"))
    ids = ms.Tensor(ids_of(1, 8))
    difference = np.abs(half(ids).asnumpy() - model(ids).asnumpy()).max()
    assert 0 < difference < 0.05


def test_a_type_the_device_has_not_is_refused(monkeypatch):
    monkeypatch.setenv("MF_KERNELS", "0")
    with pytest.raises(BackendError, match="computes in bfloat16 by its kernels alone") as caught:
        GPT2LMHeadModel(GPT2Config(**SMALL, compute_dtype="bfloat16"))
    assert caught.value.why == "they are turned off by MF_KERNELS=0"


def test_bfloat16_rounds_what_products_read(model):
    set_seed(3)
    rounded = GPT2LMHeadModel(GPT2Config(**SMALL, initializer_range=0.1, compute_dtype="bf16"))
    ids = ms.Tensor(ids_of(2, 8))
    logits, exact = rounded(ids), model(ids).asnumpy()
    assert (rounded.compute_dtype, rounded.activation_dtype, logits.dtype) == ("bfloat16", "float32", ms.float32)
    assert 1e-4 < np.abs(logits.asnumpy() - exact).max() < 0.05 * np.abs(exact).max()
    new = rounded.generate(ids, max_new_tokens=8, do_sample=False)
    assert np.asarray(new)[:, 8].tolist() == rounded(ids).asnumpy()[:, -1].argmax(-1).tolist()
    rounded.set_compute_dtype("float32")
    assert np.abs(rounded(ids).asnumpy() - exact).max() < 1e-5


def test_the_default_type_gives_way_to_the_devices_and_is_said(caplog):
    from mf_core.backends import base as backend

    backend._said.clear()
    made = [GPT2LMHeadModel(GPT2Config(**SMALL)) for _ in range(2)]
    assert [m.compute_dtype for m in made] == ["float32", "float32"]
    assert caplog.text.count("computes in float32") == 1


def test_constructor_wants_its_own_config():
    with pytest.raises(ArgumentTypeError, match="built from a GPT2Config, not str"):
        GPT2LMHeadModel("gpt2")


def test_config_that_names_a_checkpoint_gives_its_weights(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = GPT2Config(**SMALL, checkpoint_name_or_path=str(tmp_path))
    loaded = GPT2LMHeadModel(config)
    ids = ms.Tensor(ids_of(1, 5))
    np.testing.assert_array_equal(loaded(ids).asnumpy(), model(ids).asnumpy())
    with pytest.raises(FileMissingError, match="nowhere"):
        GPT2LMHeadModel(GPT2Config(**SMALL, checkpoint_name_or_path="./nowhere"))


def test_checkpoint_of_another_family_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text().replace('"gpt2"', '"bert"')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigError, match="'bert' checkpoint, not one for GPT2LMHeadModel"):
        GPT2LMHeadModel.from_pretrained(tmp_path)


def test_shipped_model_is_small_and_of_one_million_parameters():
    tiny = AutoModel.from_pretrained("gpt2_tiny")
    assert 0.9e6 < tiny.num_parameters() < 1.1e6
