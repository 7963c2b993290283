"""PanGu-alpha's tokenizer: inverse, offsets, special tokens, files, and how it uses jieba and SentencePiece."""

import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import jieba
import pytest
import sentencepiece

from mf_core import AutoTokenizer, PanguAlphaTokenizer
from mf_core.errors import ArgumentError, ConfigError, FileMissingError, IntegrityError

from .vocabularies import CHINESE, ENGLISH, train

ODD_TEXTS = [
    "",
    " ",
    "\n",
    "\n\n  \n",
    "我爱北京。",
    "你好，今天天气不错。",
    "  两个空格  在前后  ",
    "The cat sat on the mat, and the dog ran.\n",
    "我们用 MindSpore 2.10 训练 language model，效果不错！",
    "a+b=c; x_1 #tag 50% re-run foo.bar@example.com",
    "🤗 👩‍👩‍👧‍👦 🏳️‍🌈 你好🎉",
    "日本語のテキスト、한국어 텍스트, naïve café",
    "e\u0301 is not \u00e9",
    "<s> is text, <eod> is too, and <unk><pad>",
    "我" * 3000,
    "tab\tand\r\nreturn",
    "full－width ＡＢＣ１２３　space",
    "\x00\x01\x7f\xa0\xad\ufeff\u200b",
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A vocabulary that rewrites nothing and, by its bytes, has every character."""
    return PanguAlphaTokenizer(train(tmp_path_factory.mktemp("plain"), normalization_rule_name="identity",
                                     byte_fallback=True))  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A vocabulary of the usual kind: NFKC, and the characters of its texts alone."""
    return PanguAlphaTokenizer(train(tmp_path_factory.mktemp("usual")))


def is_plain(text):
    """Whether a vocabulary that rewrites nothing and lacks nothing must give a text back."""
    return not set(text) & set("\u2581\u2582\u2583")


def random_text(generator):
    ranges = [(0x20, 0x7E), (0x4E00, 0x9FA5), (0, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x1F300, 0x1FAFF),
              (0x10000, 0x10FFFF)]  # fmt: skip
    known = [*CHINESE, *ENGLISH.split(), " ", "\n", "  "]
    parts = [
        chr(generator.randint(*generator.choice(ranges))) if generator.random() < 0.5 else generator.choice(known)
        for _ in range(generator.randint(0, 25))
    ]
    return "".join(parts)


# Inverse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_any_text_comes_back_where_the_vocabulary_has_it(plain, text):
    assert plain.decode(plain.encode(text)) == text
    assert plain.decode(plain.encode(text), skip_special_tokens=True) == text


def test_ten_thousand_random_texts_come_back(plain):
    generator = random.Random(1)
    texts = [random_text(generator) for _ in range(10_000)]
    texts = [text.translate({0x2581: "x", 0x2582: "x", 0x2583: "x"}) for text in texts]
    assert sum(len(set(text)) for text in texts) > 80_000
    for text in texts:
        assert plain.decode(plain.encode(text)) == text


def test_what_does_not_come_back_is_what_is_documented(plain):
    assert plain.decode(plain.encode("a\u2582b\u2583c\u2581d")) == "a b\ncd"


def test_texts_of_a_usual_vocabularys_characters_come_back(usual):
    generator = random.Random(2)
    alphabet = sorted(c for c in set(CHINESE + ENGLISH) if unicodedata.normalize("NFKC", c) == c) + [" ", "\n"] * 20
    for _ in range(3000):
        text = "".join(generator.choices(alphabet, k=generator.randint(0, 30)))
        ids = usual.encode(text)
        assert usual.unk_token_id not in ids
        assert usual.decode(ids) == text


def test_a_usual_vocabulary_rewrites_and_lacks_characters(usual):
    assert usual.decode(usual.encode("ＡＢ，我")) == "AB,我"
    assert usual.decode(usual.encode("a\tb\rc")) == "abc"
    assert usual.decode(usual.encode("我🤗爱")) == "我<unk>爱"
    assert usual.decode(usual.encode("我🤗爱"), skip_special_tokens=True) == "我爱"


# Ids ----------------------------------------------------------------------------------------------------------------


def test_ids_are_sentencepieces_of_jiebas_words_with_spaces_between(usual):
    pieces = sentencepiece.SentencePieceProcessor(model_proto=usual._pieces.serialized_model_proto())
    text = "我爱北京。 你好,\n今天天气不错"
    assert usual.encode(text) == pieces.encode("我 爱 北京 。 ▂ 你好 , ▃ 今天天气 不错")
    assert usual.tokenize("我爱北京") == pieces.encode("我 爱 北京", out_type=str)


def test_nothing_is_put_around_a_text_unless_asked_for(usual, tmp_path):
    usual.save_pretrained(tmp_path)
    bare = usual.encode("我爱北京。")
    bos, eos = usual.token_to_id("<s>"), usual.token_to_id("<eod>")
    assert usual("我爱北京。") == {
        "input_ids": bare, "token_type_ids": [0] * len(bare), "attention_mask": [1] * len(bare),
    }  # fmt: skip
    assert not {bos, eos} & set(bare)
    for options, expected in (
        ({"add_bos_token": True}, [bos, *bare]),
        ({"add_eos_token": True}, [*bare, eos]),
        ({"add_bos_token": True, "add_eos_token": True}, [bos, *bare, eos]),
    ):
        other = PanguAlphaTokenizer.from_pretrained(tmp_path, **options)
        assert other("我爱北京。")["input_ids"] == expected
        assert other.encode("我爱北京。", add_special_tokens=False) == bare
        assert other.decode(expected, skip_special_tokens=True) == "我爱北京。"
    assert usual.decode([bos, *bare, eos]) == "<s>我爱北京。<eod>"


def test_special_tokens_of_a_text_are_characters(usual):
    ids = usual.encode("a <eod> b <s> <pad>")
    specials = {usual.token_to_id(token) for token in ("<s>", "<eod>", "<pad>")}
    assert not specials & set(ids)


def test_special_tokens_have_the_published_names(usual):
    assert [usual.bos_token, usual.eos_token, usual.pad_token, usual.unk_token] == ["<s>", "<eod>", "<pad>", "<unk>"]
    assert None not in (usual.bos_token_id, usual.eos_token_id, usual.pad_token_id, usual.unk_token_id)
    rows = usual(["我", "我爱北京"], padding=True)
    assert rows["attention_mask"][0][-1] == 0
    assert rows["input_ids"][0][-1] == usual.pad_token_id


def test_pieces_and_ids(usual):
    for index in range(len(usual)):
        token = usual.id_to_token(index)
        assert usual.token_to_id(token) == index
    assert usual.token_to_id("no such piece") is None
    assert usual.id_to_token(-1) is usual.id_to_token(len(usual)) is None
    assert usual.convert_tokens_to_ids(["<s>", "no such piece"]) == [usual.bos_token_id, usual.unk_token_id]
    with pytest.raises(ArgumentError, match=f"id {len(usual)} is not in the vocabulary"):
        usual.decode([len(usual)])


# Offsets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [t for t in ODD_TEXTS if is_plain(t)])
def test_offsets_cover_the_text_in_order(plain, text):
    row = plain(text, return_offsets_mapping=True)
    spans = row["offset_mapping"]
    assert len(spans) == len(row["input_ids"])
    end = 0
    for start, stop in spans:
        assert start <= stop <= len(text)
        assert start == end or start == stop or stop == end  # the bytes of one character share its span
        end = max(end, stop)
    assert end == len(text)


def test_offsets_are_each_pieces_characters(usual):
    text = "我爱 北京\nthe cat"
    row = usual(text, return_offsets_mapping=True)
    for index, (start, stop) in zip(row["input_ids"], row["offset_mapping"], strict=True):
        piece = usual.id_to_token(index).replace("▁", "").replace("▂", " ").replace("▃", "\n")
        assert text[start:stop] == piece


def test_offsets_of_random_texts_give_the_text(plain):
    generator = random.Random(3)
    for _ in range(500):
        text = random_text(generator)
        spans = dict.fromkeys(plain(text, return_offsets_mapping=True)["offset_mapping"])
        assert "".join(text[start:stop] for start, stop in spans if stop > start) == text


# Files --------------------------------------------------------------------------------------------------------------


def test_a_round_trip_keeps_everything(usual, tmp_path):
    usual.save_pretrained(tmp_path / "new")
    data = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert data["tokenizer_class"] == "PanguAlphaTokenizer"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"vocab.model", "tokenizer_config.json"}
    (tmp_path / "new" / "config.json").write_text('{"model_type": "pangualpha"}')
    for cls in (AutoTokenizer, PanguAlphaTokenizer):
        again = cls.from_pretrained(tmp_path / "new", padding_side="left")
        assert type(again) is PanguAlphaTokenizer
        assert (len(again), again.padding_side) == (len(usual), "left")
        assert again.encode("我们 the cat") == usual.encode("我们 the cat")
    again.save_pretrained(tmp_path / "third")
    assert (tmp_path / "third" / "vocab.model").read_bytes() == (tmp_path / "new" / "vocab.model").read_bytes()


def test_the_class_is_known_without_a_config(usual, tmp_path):
    usual.save_pretrained(tmp_path)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is PanguAlphaTokenizer


@pytest.mark.parametrize("name", ["pangualpha_2_6b", "pangualpha_2_6_b", "pangualpha_13b"])
def test_a_preset_without_files_says_what_to_put_where(name, monkeypatch):
    monkeypatch.delenv("MF_MODELS", raising=False)
    with pytest.raises(FileMissingError, match="has no vocabulary") as caught:
        AutoTokenizer.from_pretrained(name)
    assert "vocab.model" in str(caught.value) and "MF_MODELS" in str(caught.value)


def test_a_missing_vocabulary_says_what_it_is_and_where_it_is_had(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "pangualpha"}')
    for make in (
        lambda: AutoTokenizer.from_pretrained(tmp_path),
        lambda: PanguAlphaTokenizer(tmp_path / "vocab.model"),
        lambda: PanguAlphaTokenizer(tmp_path),
    ):
        with pytest.raises(FileMissingError, match=r"has no vocab\.model|cannot be read") as caught:
            make()
        assert "SentencePiece vocabulary" in caught.value.why
        assert "PanGu-Alpha" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"junk" * 20, b"\x08", b'{"version": "1.0"}'])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, data, capfd):
    (tmp_path / "vocab.model").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"vocab\.model is not a SentencePiece model") as caught:
        PanguAlphaTokenizer(tmp_path / "vocab.model")
    assert "PanGu-Alpha" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_another_familys_vocabulary_is_refused(tmp_path):
    path = train(tmp_path, user_defined_symbols=[])
    with pytest.raises(IntegrityError, match="has no piece '<eod>'") as caught:
        PanguAlphaTokenizer(path)
    assert "eos_token=" in caught.value.hint and "PanGu-alpha" in caught.value.why
    own = PanguAlphaTokenizer(path, eos_token="</s>", pad_token=None)
    assert (own.eos_token_id, own.pad_token_id) == (own.token_to_id("</s>"), None)
    with pytest.raises(ConfigError, match="eos_token='<end>' is not in the vocabulary"):
        PanguAlphaTokenizer(path, eos_token="<end>", pad_token=None)


# jieba --------------------------------------------------------------------------------------------------------------


def test_jieba_is_imported_late_and_leaves_no_trace(usual, tmp_path):
    usual.save_pretrained(tmp_path / "vocabulary")
    code = """
        import sys
        from mf_core import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained("vocabulary")
        assert "jieba" not in sys.modules and "mindspore" not in sys.modules
        print(tokenizer.encode("我爱北京天安门,今天天气不错"))
    """
    (tmp_path / "tmp").mkdir()
    home = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "MF_CACHE": str(tmp_path / "cache")}
    lines = [line.strip() for line in code.strip().splitlines()]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, **home, "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == usual.encode("我爱北京天安门,今天天气不错")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} - {"bytecode"} == {"vocabulary", "tmp"}


def test_words_that_a_program_adds_to_jieba_change_nothing(usual):
    before = usual.encode("我们来到北京清华大学")
    jieba.setLogLevel(60)
    jieba.dt.FREQ, jieba.dt.total, jieba.dt.initialized = {}, 1, True
    try:
        jieba.add_word("我们来到北京清华大学")
        assert jieba.lcut("我们来到北京清华大学") == ["我们来到北京清华大学"]
        assert usual.encode("我们来到北京清华大学") == before
    finally:
        jieba.dt.FREQ, jieba.dt.total, jieba.dt.initialized = {}, 0, False


# The published vocabulary -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("我爱北京。", [21, 453, 263, 12]), ("你好，今天天气不错。", [5772, 10, 465, 235, 464, 1123, 12])],
)
def test_published_ids(text, expected):
    folders = [Path(folder) for folder in os.environ.get("MF_MODELS", "").split(os.pathsep) if folder]
    files = [path for folder in folders for path in folder.glob("pangualpha*/vocab.model")]
    found = next((path for path in files if path.stat().st_size > 300_000), None)  # not a stand-in's
    if found is None:
        pytest.skip("the published vocab.model is not under MF_MODELS (as pangualpha_2_6b/vocab.model)")
    tokenizer = PanguAlphaTokenizer(found)
    assert tokenizer(text)["input_ids"] == expected
    assert tokenizer.decode(expected) in (text, unicodedata.normalize("NFKC", text))
