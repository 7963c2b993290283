"""Adapters against PEFT's: each side loads what the other trained and saved, with the same logits and gradients."""

import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.parity

IDS = np.random.default_rng(0).integers(0, 98, (2, 12))
SETTINGS = [
    {"r": 8, "lora_alpha": 16},
    {"r": 3, "lora_alpha": 7, "target_modules": ["c_attn", "mlp.c_proj"], "lora_dropout": 0.1},
    {"r": 4, "lora_alpha": 2, "target_modules": ["c_attn", "c_proj", "c_fc"], "use_rslora": True},
    {"r": 2, "lora_alpha": 4, "target_modules": ["c_attn"], "modules_to_save": ["ln_f", "ln_1"]},
]
OFF = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)


@pytest.fixture
def base(tmp_path):
    """The directory of a small model that transformers made and saved."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_embd=32, n_head=4, vocab_size=100, n_positions=32, bos_token_id=99, eos_token_id=99,
        initializer_range=0.2, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def their_model(base, adapter=None, **settings):
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    if adapter is not None:
        return peft.PeftModel.from_pretrained(model, adapter).eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        return peft.get_peft_model(model, peft.LoraConfig(**settings)).eval()


def train(model, steps=5):
    """Take steps that move both matrices of every adapter."""
    import torch

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    ids = torch.tensor(IDS)
    for _ in range(steps):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def theirs(model):
    import torch

    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.numpy()


def ours(model):
    import mindspore as ms

    return model(ms.Tensor(IDS, ms.int32)).asnumpy()


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_peft_trained_and_saved(settings, base, tmp_path):
    from mf_core import AutoModel
    from mf_core.lora import load_adapter, merge_lora

    model = their_model(base, **settings)
    plain = theirs(model)
    train(model)
    expected = theirs(model)
    assert abs(expected - plain).max() > 0.1
    model.save_pretrained(tmp_path / "adapter")

    loaded = AutoModel.from_pretrained(base)
    load_adapter(loaded, tmp_path / "adapter")
    np.testing.assert_allclose(ours(loaded), expected, atol=1e-5)
    assert loaded.lora_config.lora_dropout == settings.get("lora_dropout", 0.0)
    found = AutoModel.from_pretrained(tmp_path / "adapter")
    np.testing.assert_allclose(ours(found), expected, atol=1e-5)
    merge_lora(found)
    np.testing.assert_allclose(ours(found), theirs(model.merge_and_unload()), atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_we_saved(settings, base, tmp_path):
    import mindspore as ms
    import peft
    import transformers

    from mf_core import AutoModel
    from mf_core.lora import LoraConfig, add_lora, save_adapter

    model = AutoModel.from_pretrained(base)
    plain = ours(model)
    add_lora(model, LoraConfig(**settings))
    rng = np.random.default_rng(1)
    for parameter in model.trainable_params():
        ms.ops.assign(parameter, ms.Tensor(rng.normal(0, 0.1, parameter.shape).astype(np.float32)))
    expected = ours(model)
    assert abs(expected - plain).max() > 0.1
    save_adapter(model, tmp_path / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of keys that are missing, or settings that are not meant for these layers
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        loaded = their_model(base, tmp_path / "adapter")
    np.testing.assert_allclose(theirs(loaded), expected, atol=1e-5)
    config = loaded.peft_config["default"]
    assert (config.r, config.lora_alpha) == (settings["r"], settings["lora_alpha"])
    assert config.base_model_name_or_path == str(base)
    by_path = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    np.testing.assert_allclose(theirs(by_path), expected, atol=1e-5)
    found = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    np.testing.assert_allclose(theirs(found), expected, atol=1e-5)
    np.testing.assert_allclose(theirs(found.merge_and_unload()), expected, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients(settings, base, tmp_path):
    import mindspore as ms
    import torch

    from mf_core import AutoModel

    model = their_model(base, **settings)
    train(model, 2)
    model.save_pretrained(tmp_path / "adapter")
    model.zero_grad()
    ids = torch.tensor(IDS)
    model(ids, labels=ids).loss.backward()
    expected = {
        name.removeprefix("base_model.model.").replace("modules_to_save.default.", "").removesuffix(".default.weight"):
            p.grad.numpy()
        for name, p in model.named_parameters() if p.grad is not None
    }  # fmt: skip

    loaded = AutoModel.from_pretrained(tmp_path / "adapter", **OFF)
    weights = ms.ParameterTuple(loaded.trainable_params())

    def loss(x):
        logits = loaded(x[:, :-1])
        return ms.ops.cross_entropy(logits.reshape((-1, 100)), x[:, 1:].reshape((-1,)))

    gradient = ms.value_and_grad(loss, None, weights)

    @ms.jit
    def compiled(x):
        return gradient(x)

    _, gradients = compiled(ms.Tensor(IDS, ms.int32))
    assert {weight.name for weight in weights} == set(expected)
    for weight, value in zip(weights, gradients, strict=True):
        np.testing.assert_allclose(value.asnumpy(), expected[weight.name], atol=1e-5, err_msg=weight.name)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"rank_pattern": {"h.0.attn.c_attn": 2}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "'pissa' changes"),
    ],
)
def test_what_peft_has_beyond_lora_is_refused(fields, words, base, tmp_path):
    from mf_core import AutoModel
    from mf_core.errors import UnsupportedError

    their_model(base, r=4, **fields).save_pretrained(tmp_path / "adapter")
    with pytest.raises(UnsupportedError, match=words):
        AutoModel.from_pretrained(tmp_path / "adapter")


def test_another_kind_of_adapter_is_refused(base, tmp_path):
    import peft
    import transformers

    from mf_core import AutoModel
    from mf_core.errors import UnsupportedError

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.IA3Config(target_modules=["c_attn"], feedforward_modules=[], fan_in_fan_out=True)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(UnsupportedError, match="peft_type is 'IA3'"):
        AutoModel.from_pretrained(tmp_path / "adapter")


def test_the_first_values_have_pefts_distribution(base):
    from mf_core import AutoModel, set_seed
    from mf_core.lora import LoraConfig, add_lora

    settings = {"r": 64, "target_modules": ["mlp.c_proj"]}
    set_seed(0)
    model = AutoModel.from_pretrained(base)
    add_lora(model, LoraConfig(**settings))
    first = [p.asnumpy() for p in model.trainable_params() if p.name.endswith("lora_A")]
    other = [p.detach().numpy() for n, p in their_model(base, **settings).named_parameters() if "lora_A" in n]
    assert [a.shape for a in first] == [a.shape for a in other]
    ours, theirs = np.sort(np.concatenate(first).ravel()), np.sort(np.concatenate(other).ravel())
    assert abs(ours - theirs).max() < 0.04 * theirs.max()  # 16,384 draws: the quantiles agree
