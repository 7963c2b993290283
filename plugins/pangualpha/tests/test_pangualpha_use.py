"""PanGu-alpha as users have it: names, mirrors, pipelines, processors, round trips, and a plugin among others."""

import json
import os
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import load_file

import mf_core
from mf_core import (
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    PanguAlphaConfig,
    PanguAlphaHeadModel,
    PanguAlphaProcessor,
    PanguAlphaTokenizer,
    pipeline,
    set_seed,
)
from mf_core.errors import FileMissingError, WeightsError

from .vocabularies import train


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder for ``MF_MODELS`` whose ``pangualpha_2_6b`` is a stand-in of reduced size."""
    folder = tmp_path_factory.mktemp("mirror")
    tokenizer = PanguAlphaTokenizer(train(tmp_path_factory.mktemp("vocabulary")))
    set_seed(1)
    model = PanguAlphaHeadModel(PanguAlphaConfig(
        vocab_size=len(tokenizer), hidden_size=32, ffn_hidden_size=64, num_layers=3, num_heads=4, seq_length=128,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    ))  # fmt: skip
    model.save_pretrained(folder / "pangualpha_2_6b")
    tokenizer.save_pretrained(folder / "pangualpha_2_6b")
    PanguAlphaProcessor(tokenizer, max_length=16).save_pretrained(folder / "pangualpha_2_6b")
    return folder


@pytest.fixture
def mirrored(mirror, monkeypatch):
    monkeypatch.setenv("MF_MODELS", str(mirror))
    return mirror / "pangualpha_2_6b"


# Names --------------------------------------------------------------------------------------------------------------


def test_the_core_exports_the_familys_classes():
    for name in ("PanguAlphaConfig", "PanguAlphaHeadModel", "PanguAlphaTokenizer", "PanguAlphaProcessor"):
        assert getattr(mf_core, name).__module__.startswith("mf_pangualpha.")
        assert name in dir(mf_core)
    assert "pangualpha_2_6b" in AutoModel.get_support_list()["pangualpha"]


@pytest.mark.parametrize("cls", [AutoModel, AutoModelForCausalLM, PanguAlphaHeadModel])
def test_the_preset_is_taken_from_the_mirror(mirrored, cls):
    model = cls.from_pretrained("pangualpha_2_6b")
    assert type(model) is PanguAlphaHeadModel
    assert (model.config.hidden_size, model.config.num_layers) == (32, 3)
    saved = load_file(mirrored / "model.safetensors")
    assert saved.keys() == {name for name, _ in model.parameters_and_names()}
    for name, parameter in model.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), saved[name], err_msg=name)


def test_a_preset_without_weights_says_what_to_put_where(monkeypatch):
    monkeypatch.delenv("MF_MODELS", raising=False)
    with pytest.raises(FileMissingError, match="'pangualpha_13b' has no weights") as caught:
        AutoModel.from_pretrained("pangualpha_13b")
    assert "pangualpha_13b under MF_MODELS" in caught.value.why


def test_a_config_that_names_a_checkpoint_gives_its_weights(mirrored):
    named = PanguAlphaConfig.from_pretrained("pangualpha_2_6b", checkpoint_name_or_path="pangualpha_2_6b")
    ids = ms.Tensor(np.arange(10, 20, dtype=np.int32)[None])
    expected = AutoModel.from_pretrained("pangualpha_2_6b")(ids).asnumpy()
    np.testing.assert_array_equal(PanguAlphaHeadModel(named)(ids).asnumpy(), expected)


# Round trips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"shard_size": 30_000}, {"dtype": "float16"}], ids=str)
def test_a_round_trip_keeps_the_weights(mirrored, tmp_path, options):
    model = AutoModel.from_pretrained("pangualpha_2_6b")
    model.save_pretrained(tmp_path, **options)
    assert (tmp_path / "model.safetensors.index.json").exists() == ("shard_size" in options)
    data = json.loads((tmp_path / "config.json").read_text())
    assert (data["architectures"], data["model_type"]) == (["PanguAlphaHeadModel"], "pangualpha")
    again = AutoModel.from_pretrained(tmp_path)
    ids = ms.Tensor(np.arange(10, 20, dtype=np.int32)[None])
    difference = np.abs(again(ids).asnumpy() - model(ids).asnumpy()).max()
    assert difference < 0.05 if options.get("dtype") else difference == 0


def test_weights_of_another_depth_are_refused(mirrored):
    with pytest.raises(WeightsError, match="left over") as caught:
        AutoModel.from_pretrained("pangualpha_2_6b", num_layers=2)
    assert any("blocks.1" in name for name in caught.value.value)


# Pipelines and processors -------------------------------------------------------------------------------------------


def test_pipeline_by_name(mirrored):
    made = pipeline("text_generation", model="pangualpha_2_6b")
    result = made("我爱北京", max_new_tokens=5, do_sample=False)
    text = result[0]["text_generation_text"][0]
    assert text.startswith("我爱北京")
    tokenizer, model = AutoTokenizer.from_pretrained("pangualpha_2_6b"), AutoModel.from_pretrained("pangualpha_2_6b")
    ids = model.generate(tokenizer.encode("我爱北京"), max_new_tokens=5, do_sample=False)[0]
    assert text == tokenizer.decode(ids, skip_special_tokens=True)


def test_pipeline_of_ones_own_model_and_tokenizer(mirrored):
    model = AutoModel.from_pretrained("pangualpha_2_6b")
    tokenizer = PanguAlphaTokenizer.from_pretrained("pangualpha_2_6b")
    made = pipeline("text_generation", model=model, tokenizer=tokenizer, max_new_tokens=4, do_sample=False)
    texts = ["我爱", "The cat sat on the mat", "今天天气 不错\n"]
    together = [row["text_generation_text"][0] for row in made(texts)]
    assert together == [made(text)[0]["text_generation_text"][0] for text in texts]
    assert all(row.startswith(text) for row, text in zip(together, texts, strict=True))


def test_processor_pads_with_the_pad_token(mirrored):
    for made in (AutoProcessor.from_pretrained("pangualpha_2_6b"), PanguAlphaProcessor.from_pretrained(mirrored)):
        assert type(made) is PanguAlphaProcessor
        row = made("我爱北京。")["text"]
        assert (row.shape, row.dtype) == ((1, 16), ms.int32)
        ids = made.tokenizer.encode("我爱北京。")
        assert row.asnumpy()[0].tolist() == ids + [made.tokenizer.pad_token_id] * (16 - len(ids))
    assert made(["我", "爱", "北京"])["text"].shape == (3, 16)


def test_processor_without_a_tokenizer_has_the_presets(mirrored):
    assert PanguAlphaProcessor(max_length=9)("我")["text"].shape == (1, 9)


def test_processor_without_a_tokenizer_or_a_mirror_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("MF_MODELS", raising=False)
    with pytest.raises(FileMissingError, match="'pangualpha_2_6b' has no vocabulary"):
        PanguAlphaProcessor()


# The plugin ---------------------------------------------------------------------------------------------------------


def test_listing_imports_nothing_of_the_family():
    code = (
        "import sys\nfrom mf_core import AutoConfig\nassert 'pangualpha' in AutoConfig.get_support_list()\n"
        "print({'mf_pangualpha.plugin', 'mf_pangualpha.config', 'jieba', 'sentencepiece', 'mindspore', 'pydantic'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'mf_pangualpha.plugin'}"


def test_the_command_lists_the_presets():
    code = "from mf_core.cli import main; raise SystemExit(main(['models', '--json']))"
    kept = {name: value for name, value in os.environ.items() if name != "MF_MODELS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=kept)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    for name in ("pangualpha_2_6b", "pangualpha_13b"):
        assert rows[name]["distribution"] == "mf-pangualpha"
