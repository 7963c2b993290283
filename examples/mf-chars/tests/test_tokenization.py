"""What is particular to this tokenizer; what every tokenizer must do is in test_conformance.py."""

import pytest
from mf_core import AutoTokenizer
from mf_core.errors import ArgumentError, ArgumentTypeError, IntegrityError

from mf_chars.tokenization import CharsTokenizer


def test_characters_are_learned_from_texts(tmp_path):
    tokenizer = CharsTokenizer.from_texts(["北京你好", "你好 hello"], min_count=2)
    assert tokenizer.tokens == ["<pad>", "<end>", "<unk>", "l", "你", "好"]
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(again, CharsTokenizer)
    assert again("你好!")["input_ids"] == [4, 5, 2, 1]


def test_unknown_characters_are_marked():
    tokenizer = AutoTokenizer.from_pretrained("chars_english")
    ids = tokenizer.encode("naïve", add_special_tokens=False)
    assert ids.count(tokenizer.unk_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "na\ufffdve"


def test_bad_vocabularies_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="twice"):
        CharsTokenizer(["a", "b", "a"])
    with pytest.raises(ArgumentError, match="not one character"):
        CharsTokenizer(["ab"])
    with pytest.raises(ArgumentTypeError, match="several texts"):
        CharsTokenizer.from_texts("hello")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CharsTokenizer"}')
    for text in ('{"a": 1}', "[1, 2]", "no json"):
        (tmp_path / "vocab.json").write_text(text)
        with pytest.raises(IntegrityError, match="not a list of characters"):
            AutoTokenizer.from_pretrained(tmp_path)
