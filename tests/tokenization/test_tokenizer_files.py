"""Tokenizers of other people's folders do what their files say, and so do those that are saved from them."""

import json

import pytest
from tokenizers import Tokenizer

from mf_core import AutoTokenizer
from mf_core.errors import ConfigError, IntegrityError

from ..support.tokenizer_folders import FOLDERS, TEXTS

#: Fields that are read into another form, or not kept.
_MOVED = {"chat_template", "max_len", "tokenizer_class"}


@pytest.fixture(params=FOLDERS)
def folder(request, tmp_path):
    path = tmp_path / request.param
    path.mkdir()
    FOLDERS[request.param](path)
    return path


def rows(path, texts):
    """Return what the ``tokenizers`` library itself makes of texts by a ``tokenizer.json``."""
    backend = Tokenizer.from_file(str(path / "tokenizer.json"))
    backend.no_padding()
    backend.no_truncation()
    return [backend.encode(text).ids for text in texts]


def test_the_vocabularys_file_rules_calls_prompts_and_what_is_saved(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    called = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert [tokenizer.encode_prompt(text) for text in TEXTS] == called
    tokenizer.save_pretrained(tmp_path / "again")
    assert rows(tmp_path / "again", TEXTS) == called
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert [again(text) for text in TEXTS] == [tokenizer(text) for text in TEXTS]
    assert {name: getattr(again, name) for name in again.options} == {
        name: getattr(tokenizer, name) for name in tokenizer.options
    }
    if (folder / "tokenizer.json").exists() and folder.name != "backend_5":  # which names a token that it lacks
        assert rows(folder, TEXTS) == called


def test_fields_survive_a_save(folder, tmp_path):
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "again")
    before, after = (json.loads((path / "tokenizer_config.json").read_text()) for path in (folder, tmp_path / "again"))
    assert {name: after.get(name) for name in before if name not in _MOVED} == {
        name: value for name, value in before.items() if name not in _MOVED
    }
    for name in ("special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            assert json.loads((tmp_path / "again" / name).read_text()) == json.loads((folder / name).read_text())
    again, first = (json.loads((path / "tokenizer.json").read_text()) if (path / "tokenizer.json").exists() else None
                    for path in (tmp_path / "again", folder))  # fmt: skip
    if first is not None:
        for name in ("padding", "truncation", "post_processor", "normalizer", "pre_tokenizer", "decoder"):
            assert again[name] == first[name], name


def test_truncation_leaves_the_special_tokens(tmp_path):
    FOLDERS["word_pieces"](tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    row = tokenizer("hello low hello low", truncation=True, max_length=4, return_offsets_mapping=True)
    assert row["input_ids"] == [2, 5, 6, 3]
    assert row["offset_mapping"] == [(0, 0), (0, 5), (6, 9), (0, 0)]
    rows_ = tokenizer(["hello low", "hello"], padding=True)
    assert rows_["input_ids"] == [[2, 5, 6, 3], [2, 5, 3, 0]]
    assert rows_["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert tokenizer.decode([2, 6, 7, 8, 5, 9, 3], skip_special_tokens=True) == "lower, hello!"
    assert tokenizer.mask_token == "[MASK]"


def test_what_a_user_asks_for_goes_before_the_files(tmp_path):
    FOLDERS["flags_of_null"](tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert (plain.add_bos_token, plain.add_eos_token) == (True, False)
    both = AutoTokenizer.from_pretrained(tmp_path, add_eos_token=True)
    assert both("low")["input_ids"] == [*plain("low")["input_ids"], 1]
    with pytest.raises(ConfigError, match="'<no>' is not in the vocabulary"):
        AutoTokenizer.from_pretrained(tmp_path, pad_token="<no>")


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("tokenizer_config.json", {"eos_token": 3}, "eos_token in .* is 3, which is no token"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "a"}}}, "has no token for 'x'"),
        ("tokenizer_config.json", {"chat_template": 3}, "chat_template in .* is 3"),
        ("tokenizer_config.json", {"chat_template": [{"name": "x"}]}, "chat_template in"),
        ("special_tokens_map.json", {"pad_token": ["x"]}, "pad_token in"),
    ],
)
def test_broken_files_are_named(file, data, message, tmp_path):
    FOLDERS["words_only"](tmp_path)
    (tmp_path / file).write_text(json.dumps(data))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(IntegrityError, match=message):
        AutoTokenizer.from_pretrained(tmp_path)
