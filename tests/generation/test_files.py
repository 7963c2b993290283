"""Where a model's generation settings come from, and what a save keeps."""

import json

import pytest

from mf_core import AutoModel, GPT2Config, GPT2LMHeadModel
from mf_core.errors import ArgumentError, UnsupportedError
from mf_core.generation import GenerationConfig

SIZES = {"vocab_size": 60, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "seq_length": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint whose files say nothing of generation."""
    directory = tmp_path_factory.mktemp("plain")
    GPT2LMHeadModel(GPT2Config(**SIZES, eos_token_id=59)).save_pretrained(directory)
    (directory / "generation_config.json").unlink()
    config = json.loads((directory / "config.json").read_text())
    names = ("do_sample", "top_k", "top_p", "temperature", "repetition_penalty", "max_decode_length")
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in names}))
    return directory


def test_presets_keep_mindformers_defaults():
    config = GenerationConfig.from_pretrained("gpt2_tiny")
    assert (config.do_sample, config.top_k, config.temperature, config.max_length) == (True, 5, 0.7, 256)
    assert GPT2LMHeadModel(GPT2Config(**SIZES)).generation_config.do_sample


def test_a_checkpoint_that_says_nothing_is_greedy_and_gives_20_tokens(folder, tmp_path):
    model = AutoModel.from_pretrained(folder)
    assert model.generation_config.set_fields()["max_new_tokens"] == 20
    assert not model.generation_config.do_sample
    assert len(model.generate([1, 2], eos_token_id=None)[0]) == 22
    assert len(model.generate([1] * 30, eos_token_id=None)[0]) == 32  # to the end of the context
    model.save_pretrained(tmp_path)
    assert "max_new_tokens" not in json.loads((tmp_path / "generation_config.json").read_text())


def test_what_the_file_says_is_honoured_changed_by_overrides_and_kept(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    said = {"do_sample": True, "top_k": 7, "eos_token_id": [3, 59], "max_length": 12, "_from": "elsewhere"}
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    model = AutoModel.from_pretrained(tmp_path)
    assert model.generation_config.eos_ids == (3, 59)
    assert all(len(row) <= 12 for row in model.generate([[1, 2]] * 3))
    assert AutoModel.from_pretrained(tmp_path, do_sample=False).generation_config.do_sample is False
    model.generation_config.top_k = 9
    model.save_pretrained(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "generation_config.json").read_text()) == {**said, "top_k": 9}


def test_older_fields_of_config_json_count_where_there_is_no_other_file(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_length": 15, "do_sample": True, "top_k": 3}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    found = GenerationConfig.from_pretrained(tmp_path)
    assert (found.max_length, found.do_sample, found.top_k, found.eos_token_id) == (15, True, 3, 59)


# Rows with padding --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(folder):
    return AutoModel.from_pretrained(folder)


OPTIONS = {"max_new_tokens": 2, "do_sample": False}


def test_padding_that_is_no_text_is_stripped(model):
    plain = [row[:4] for row in model.generate([[1, 2], [3, 4]], **OPTIONS)]
    for rows in ([[1, 2, 50, 50], [3, 4, 50, 50]], [[50, 1, 2], [50, 3, 4]]):
        assert model.generate(rows, pad_token_id=50, **OPTIONS) == plain


@pytest.mark.parametrize("rows", [[[1, 2, 59, 59]], [[59, 59, 1, 2]], [[1, 2, 3], [4, 5, 59]]], ids=str)
def test_padding_that_may_be_text_is_refused_without_a_mask(model, rows):
    with pytest.raises(ArgumentError, match=r"the id 59, \d times, and there is no attention_mask"):
        model.generate(rows, pad_token_id=59, **OPTIONS)
    mask = [[int(index != 59) for index in row] for row in rows]
    alone = [model.generate([i for i in row if i != 59], pad_token_id=59, **OPTIONS)[0] for row in rows]
    assert model.generate(rows, attention_mask=mask, pad_token_id=59, **OPTIONS) == alone


@pytest.mark.parametrize("row", [[59], [59, 1, 2], [59, 1, 59]], ids=str)
def test_a_prompt_may_begin_and_end_with_the_end(model, row):
    assert model.generate([row], pad_token_id=59, **OPTIONS)[0][: len(row)] == row


def test_what_a_tokenizer_returns_is_taken(model):
    batch = {"input_ids": [[1, 2, 3], [4]], "attention_mask": [[1, 1, 1], [1]], "token_type_ids": [[0, 0, 0], [0]]}
    assert model.generate(**batch, **OPTIONS) == model.generate(batch["input_ids"], **OPTIONS)
    with pytest.raises(UnsupportedError, match="token_type_ids are not all 0"):
        model.generate([[1, 2]], token_type_ids=[[0, 1]], **OPTIONS)
    with pytest.raises(ArgumentError, match="attention_mask has rows of 2, 1 entries, input_ids of 3, 1"):
        model.generate([[1, 2, 3], [4]], attention_mask=[[1, 1], [1]])
