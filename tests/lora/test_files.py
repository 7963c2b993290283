"""Adapters in files: what is saved comes back, what does not fit is named, and a directory of one is a model."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mf_core import AutoConfig, AutoModel, AutoTokenizer, GPT2LMHeadModel, pipeline
from mf_core.cli import main
from mf_core.errors import (
    ArgumentError,
    FileMissingError,
    IntegrityError,
    NotRegisteredError,
    UnsupportedError,
    WeightsError,
)
from mf_core.lora import LoraConfig, add_lora, load_adapter, lora_share, merge_lora, save_adapter

from ..support.hub_server import HubServer
from ..support.lora_models import EVERY, IDS, Wrapped, adapted, logits, make, move, names_in, run_script, values

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def rewrite(folder, change):
    """Change an adapter's tensors: ``change`` gets a dict of arrays."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / WEIGHTS)


def edit(folder, **fields):
    data = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**data, **fields}))


@pytest.fixture(scope="module")
def trained():
    """A model with adapters; tests leave it as it is."""
    return adapted()


@pytest.fixture
def saved(trained, tmp_path):
    save_adapter(trained, tmp_path / "adapter")
    return tmp_path / "adapter"


# Settings -----------------------------------------------------------------------------------------------------------


def test_settings_and_their_file(tmp_path):
    config = LoraConfig()
    assert (config.r, config.lora_alpha, config.lora_dropout, config.target_modules) == (8, 16, 0.0, None)
    assert (config.scaling, LoraConfig(r=16, use_rslora=True).scaling) == (2.0, 4.0)
    other = LoraConfig(r=3, lora_alpha=1.5, lora_dropout=0.1, target_modules=["a", "b.c"], use_rslora=True)
    for one in (config, other):
        one.save_pretrained(tmp_path / "new")
        assert LoraConfig.from_pretrained(tmp_path / "new") == one
    data = json.loads((tmp_path / "new" / SETTINGS).read_text())
    assert (data["peft_type"], data["target_modules"], data["lora_alpha"]) == ("LORA", ["a", "b.c"], 1.5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"peft_type": None}, "peft_type is None"),
        ({"target_modules": ".*c_attn"}, "regular expression"),
        ({"init_lora_weights": "pissa"}, "changes the model's own weights"),
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"rank_pattern": {"c_attn": 2}}, "rank_pattern="),
        ({"layers_to_transform": [0]}, "layers_to_transform="),
        ({"something_of_tomorrow": 1}, "something_of_tomorrow=1"),
    ],
)
def test_files_of_what_is_not_supported_are_refused(fields, words, saved):
    edit(saved, **fields)
    model = make()
    with pytest.raises(UnsupportedError, match=words):
        load_adapter(model, saved)
    assert model.lora_config is None


def test_a_file_with_a_bad_value_is_named(saved):
    edit(saved, r="four")
    with pytest.raises(IntegrityError, match=r"adapter_config\.json does not fit") as caught:
        load_adapter(make(), saved)
    assert "r='four'" in caught.value.why


# Files --------------------------------------------------------------------------------------------------------------


def test_the_layout_is_pefts(trained, saved):
    assert names_in(saved) == [SETTINGS, WEIGHTS]
    data = json.loads((saved / SETTINGS).read_text())
    expected = {
        "peft_type": "LORA", "r": 4, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": list(EVERY),
        "fan_in_fan_out": True, "use_rslora": False, "bias": "none", "base_model_name_or_path": None,
        "task_type": "CAUSAL_LM",
    }  # fmt: skip
    assert expected.items() <= data.items()
    tensors = load_file(saved / WEIGHTS)
    assert len(tensors) == 2 * 2 * 4
    layer = trained.transformer.h[1].attn.c_attn
    stem = "base_model.model.transformer.h.1.attn.c_attn"
    np.testing.assert_array_equal(tensors[f"{stem}.lora_A.weight"], layer.lora_A.asnumpy())
    np.testing.assert_array_equal(tensors[f"{stem}.lora_B.weight"], layer.lora_B.asnumpy())
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}


def test_the_models_own_targets_are_written_by_name(tmp_path):
    model = adapted(LoraConfig())
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / SETTINGS).read_text())["target_modules"] == ["c_attn"]


def test_loading_gives_the_logits_back_and_draws_no_random_numbers(trained, saved):
    model = make()
    state = np.random.get_state()[1].copy()
    load_adapter(model, saved)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(logits(model), logits(trained))
    assert model.lora_config == trained.lora_config
    assert lora_share(model) == lora_share(trained)


def test_loading_into_adapters_that_are_there_is_seen_by_graphs(trained, saved):
    model = make()
    add_lora(model, LoraConfig(r=4, lora_dropout=0.2, target_modules=EVERY))
    function = Wrapped(model)
    function(IDS)
    parameters = model.trainable_params()
    load_adapter(model, saved)
    assert all(one is other for one, other in zip(model.trainable_params(), parameters, strict=True))
    np.testing.assert_allclose(function(IDS).asnumpy(), logits(trained), atol=1e-5)
    assert model.lora_config.lora_dropout == 0.2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LoraConfig(r=2, target_modules=EVERY), "has r=4, those of the model r=2"),
        (LoraConfig(r=4, lora_alpha=4, target_modules=EVERY), r"has scaling=4\.0, those of the model scaling=1\.0"),
        (LoraConfig(r=4), r"'transformer\.h\.0\.attn\.c_proj' has an adapter at .* only"),
    ],
)
def test_loading_into_other_adapters_is_refused(config, words, saved):
    model = adapted(config)
    before = logits(model)
    with pytest.raises(ArgumentError, match=words):
        load_adapter(model, saved)
    np.testing.assert_array_equal(logits(model), before)


FIRST = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(FIRST), rf"1 missing, such as '{FIRST}'"),
        (lambda t: t.update({f"{FIRST}x": t[FIRST]}), rf"1 left over, such as '{FIRST}x'"),
        (lambda t: t.update({FIRST.removeprefix("base_model.model."): t.pop(FIRST)}), "1 missing.*; 1 left over"),
        (lambda t: t.update({FIRST.replace("lora_A.weight", "lora_magnitude_vector.weight"): t[FIRST]}), "magnitude"),
        (lambda t: t.update({FIRST: t[FIRST].T}), r"is F32 \(32, 4\); the model wants \(4, 32\)"),
        (lambda t: t.update({FIRST: t[FIRST][:3]}), r"is F32 \(3, 32\); the model wants \(4, 32\)"),
        (lambda t: t.update({FIRST: t[FIRST].astype(np.int32)}), "of the type I32, which is not read"),
    ],
    ids=["missing", "left over", "without PEFT's prefix", "DoRA", "transposed", "short", "whole numbers"],
)
def test_tensors_that_do_not_fit_are_named_and_change_nothing(change, words, saved):
    rewrite(saved, change)
    model = make()
    before = values(model)
    with pytest.raises(WeightsError, match=words):
        load_adapter(model, saved)
    assert values(model).keys() == before.keys()
    assert len(model.trainable_params()) == len(before)


def test_an_adapter_for_another_model(saved):
    with pytest.raises(WeightsError, match=r"8 left over, such as '.*\.h\.1\.attn\.c_attn\.lora_A\.weight'"):
        load_adapter(make(num_layers=1), saved)
    edit(saved, target_modules=["q_proj"])
    with pytest.raises(ArgumentError, match="no layer 'q_proj'"):
        load_adapter(make(), saved)


def test_an_adapter_of_the_body_and_in_half_precision(trained, saved):
    def change(tensors):
        found = {name.replace("transformer.", ""): array.astype(np.float16) for name, array in tensors.items()}
        tensors.clear()
        tensors.update(found)

    rewrite(saved, change)
    model = make()
    load_adapter(model, saved)
    for ours, theirs in zip(model.trainable_params(), trained.trainable_params(), strict=True):
        assert ours.dtype == ms.float32
        np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy().astype(np.float16).astype(np.float32))


def test_bfloat16_is_read_exactly(trained, saved):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    tensors = {n: torch.from_numpy(a).to(torch.bfloat16) for n, a in load_file(saved / WEIGHTS).items()}
    save_torch(tensors, saved / WEIGHTS)
    model = make()
    load_adapter(model, saved)
    expected = tensors[FIRST].float().numpy()
    np.testing.assert_array_equal(model.transformer.h[0].attn.c_attn.lora_A.asnumpy(), expected)


def test_absent_and_broken_files(saved, tmp_path):
    model = make()
    with pytest.raises(FileMissingError, match="no directory"):
        load_adapter(model, tmp_path / "nowhere")
    data = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(data[:-10])
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        load_adapter(model, saved)
    (saved / WEIGHTS).unlink()
    with pytest.raises(FileMissingError, match=f"has no {WEIGHTS}") as caught:
        load_adapter(model, saved)
    assert caught.value.why is None
    (saved / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(FileMissingError) as caught:
        load_adapter(model, saved)
    assert "a pickle" in caught.value.why
    (saved / SETTINGS).unlink()
    with pytest.raises(FileMissingError, match=SETTINGS):
        load_adapter(model, saved)
    assert model.lora_config is None


def test_saving_that_fails_leaves_the_old_files_whole(trained, saved, monkeypatch):
    from mf_core.lora import files

    def fail(path, tensors):
        Path(path).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr(files, "save_tensors", fail)
    with pytest.raises(OSError, match="No space left"):
        save_adapter(adapted(LoraConfig(r=2)), saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_an_earlier_copy_of_the_adapters_can_be_saved(saved, tmp_path):
    model = adapted()
    copy = {parameter.name: parameter.asnumpy().copy() for parameter in model.trainable_params()}
    move(model, seed=12)
    save_adapter(model, tmp_path / "copy", weights=copy)
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


def test_what_would_lack_or_hide_adapters_is_not_written(trained, tmp_path):
    with pytest.raises(UnsupportedError, match="not saved as a whole") as caught:
        trained.save_pretrained(tmp_path / "model")
    assert "save_adapter" in caught.value.hint
    assert "merge_lora" in caught.value.hint
    assert not (tmp_path / "model").exists()
    plain = make()
    with pytest.raises(ArgumentError, match="has no adapters"):
        save_adapter(plain, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    plain.save_pretrained(tmp_path / "model")
    before = names_in(tmp_path / "model")
    with pytest.raises(ArgumentError, match="holds a model"):
        save_adapter(trained, tmp_path / "model")
    assert names_in(tmp_path / "model") == before


# Cells that are saved whole -------------------------------------------------------------------------------------------


def test_cells_that_are_saved_whole_are_trained_and_come_back(tmp_path):
    config = LoraConfig(r=4, target_modules=EVERY, modules_to_save=["ln_f"])
    model = adapted(config)
    names = [parameter.name for parameter in model.trainable_params()]
    assert [name for name in names if "lora" not in name] == ["transformer.ln_f.weight", "transformer.ln_f.bias"]
    ms.ops.assign(model.transformer.ln_f.bias, ms.Tensor(np.arange(32, dtype=np.float32)))
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / SETTINGS).read_text())["modules_to_save"] == ["ln_f"]
    assert "base_model.model.transformer.ln_f.bias" in load_file(tmp_path / WEIGHTS)
    back = make()
    load_adapter(back, tmp_path)
    np.testing.assert_array_equal(logits(back), logits(model))
    assert back.lora_config == model.lora_config
    with pytest.raises(ArgumentError, match=r"'transformer.ln_f' is saved whole at .* only"):
        load_adapter(adapted(), tmp_path)
    merge_lora(back)
    np.testing.assert_allclose(logits(back), logits(model), atol=1e-5)
    assert len(back.trainable_params()) == len(make().trainable_params())


def test_cells_to_save_that_do_not_exist():
    model = make()
    with pytest.raises(ArgumentError, match="has no cell 'lnf' with weights") as caught:
        add_lora(model, LoraConfig(modules_to_save=["lnf"]))
    assert "'ln_f'" in caught.value.hint
    assert model.lora_config is None


# A directory that holds an adapter, for the auto classes --------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    """Directories of a model and of an adapter for it, and the logits of both together."""
    make().save_pretrained(tmp_path / "base")
    model = AutoModel.from_pretrained(tmp_path / "base")
    add_lora(model, LoraConfig(r=4))
    move(model)
    save_adapter(model, tmp_path / "adapter")
    return tmp_path / "base", tmp_path / "adapter", logits(model)


def test_a_fresh_process_loads_the_adapter_and_its_model(pair, tmp_path):
    _, adapter, expected = pair
    np.save(tmp_path / "ids.npy", IDS.asnumpy())
    script = """
import sys, numpy as np, mindspore as ms
from mf_core import AutoModel
model = AutoModel.from_pretrained(sys.argv[1])
np.save("found.npy", model(ms.Tensor(np.load("ids.npy"))).asnumpy())
print(model.lora_config.r, model.training)
"""
    assert run_script(tmp_path, script, adapter).split()[-2:] == ["4", "False"]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)


def test_the_auto_classes_and_a_second_save(pair, tmp_path):
    base, adapter, expected = pair
    assert json.loads((adapter / SETTINGS).read_text())["base_model_name_or_path"] == str(base)
    for model in (AutoModel.from_pretrained(adapter), GPT2LMHeadModel.from_pretrained(str(adapter))):
        np.testing.assert_array_equal(logits(model), expected)
    assert AutoConfig.from_pretrained(adapter).hidden_size == 32
    save_adapter(model, tmp_path / "again")
    for name in (SETTINGS, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (adapter / name).read_bytes()
    merge_lora(model)
    model.save_pretrained(tmp_path / "merged")
    np.testing.assert_allclose(logits(AutoModel.from_pretrained(tmp_path / "merged")), expected, atol=1e-5)


def test_the_shipped_model_with_an_adapter_in_a_pipeline(tmp_path):
    model = AutoModel.from_pretrained("gpt2_tiny")
    plain = logits(model)
    add_lora(model)
    move(model)
    assert abs(logits(model) - plain).max() > 1
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / SETTINGS).read_text())["base_model_name_or_path"] == "gpt2_tiny"
    generate = pipeline("text_generation", str(tmp_path), max_length=20, do_sample=False)
    np.testing.assert_array_equal(logits(generate.model), logits(model))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = model.generate(tokenizer.encode("Once upon", add_special_tokens=False), max_length=20, do_sample=False)[0]
    assert generate("Once upon")[0]["text_generation_text"] == [tokenizer.decode(ids, skip_special_tokens=True)]


def test_an_adapter_without_its_model(pair, tmp_path):
    _, adapter, _ = pair
    for base in (str(adapter), str(tmp_path)):  # itself an adapter, or a directory without a model
        edit(adapter, base_model_name_or_path=base)
        with pytest.raises(FileMissingError, match=r"which the adapter .* is for, could not be loaded") as caught:
            AutoModel.from_pretrained(adapter)
        assert "config.json" in caught.value.why
        assert "load_adapter" in caught.value.hint
    edit(adapter, base_model_name_or_path="gpt2_tinny")
    with pytest.raises(NotRegisteredError, match="the model 'gpt2_tinny', which the adapter"):
        AutoModel.from_pretrained(adapter)
    edit(adapter, base_model_name_or_path=None)
    with pytest.raises(IntegrityError, match="does not say for which model"):
        AutoModel.from_pretrained(adapter)


def test_an_adapter_on_the_hub(pair, tmp_path):
    base, adapter, expected = pair
    np.save(tmp_path / "ids.npy", IDS.asnumpy())
    edit(adapter, base_model_name_or_path="owner/base")
    script = """
import numpy as np, mindspore as ms
from mf_core import AutoModel
found = AutoModel.from_pretrained("owner/adapter")
np.save("found.npy", found(ms.Tensor(np.load("ids.npy"))).asnumpy())
"""
    with HubServer() as server:
        for name, folder in (("owner/base", base), ("owner/adapter", adapter)):
            server.add(name, {path.name: path.read_bytes() for path in folder.iterdir()})
        run_script(
            tmp_path, script, HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="0",
            HF_HUB_DISABLE_XET="1", NO_PROXY="127.0.0.1",
        )  # fmt: skip
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)


def test_a_merged_model_over_the_adapters_folder_leaves_no_adapter(saved):
    (saved / "README.md").write_text("mine")
    model = adapted()
    merge_lora(model)
    model.save_pretrained(saved)
    assert names_in(saved) == ["README.md", "config.json", "generation_config.json", "model.safetensors"]
    np.testing.assert_allclose(logits(AutoModel.from_pretrained(saved)), logits(model), atol=1e-6)


def test_inspect_and_verify_of_adapters(saved, capsys):
    assert main(["ckpt", "inspect", str(saved)]) == 0
    out = capsys.readouterr().out
    for words in ("LORA of rank 4 for c_attn, c_proj, c_fc", "base model  not named", WEIGHTS, "complete    yes"):
        assert words in out
    assert main(["ckpt", "verify", str(saved)]) == 0
    data = bytearray((saved / WEIGHTS).read_bytes())
    (saved / WEIGHTS).write_bytes(data[:-9])
    assert main(["ckpt", "inspect", str(saved), "--json"]) == 1
    assert "not a whole safetensors file" in capsys.readouterr().out
