"""GPT-2's tokenizer: the document's output, batches, limits, offsets, texts of every kind, and its files."""

import json
import random
import shutil

import mindspore as ms
import numpy as np
import pytest
import tokenizers

from mf_core import AutoTokenizer, GPT2Tokenizer
from mf_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConfigError,
    FileMissingError,
    InputTooLongError,
    IntegrityError,
)

END = 50256
ODD_TEXTS = [
    "",
    " ",
    "\n",
    "\t\tif x:\r\n\t\t\treturn  'y'   ",
    "null\0byte\0",
    "\x00\x01\x1b[0m\x7f\x80\xa0\xad",
    "I'll, we've; they'd - don't!",
    "naïve café — Ærøskøbing",
    "e\u0301 is not \u00e9",
    "我爱北京。你好，今天天气不错。",
    "日本語のテキスト、한국어 텍스트",
    "مرحبا بالعالم, שלום",
    "🤗 👩‍👩‍👧‍👦 🏳️‍🌈 \U0010ffff",
    "\ufeffbyte order mark, \u200b zero width, \u202e override",
    "a" * 5000,
    "Ġ is a letter, and so is ▁",
    "<|endoftext",
    "x<|endoftext|>y <|endoftext|>",
]


@pytest.fixture(scope="module")
def tokenizer():
    return GPT2Tokenizer.from_pretrained("gpt2")


@pytest.fixture
def folder(tmp_path):
    """A directory of the kind that other libraries write: vocabulary files and no more."""
    GPT2Tokenizer.from_pretrained("gpt2_tiny").save_pretrained(tmp_path / "saved")
    (tmp_path / "vocab").mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(tmp_path / "saved" / name, tmp_path / "vocab")
    return tmp_path / "vocab"


def random_text(generator):
    """Return up to 40 characters from all over Unicode, some of them often."""
    ranges = [(0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x1F300, 0x1FAFF), (0x10000, 0x10FFFF)]
    return "".join(chr(generator.randint(*generator.choice(ranges))) for _ in range(generator.randint(0, 40)))


# Calls --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto", [AutoTokenizer, GPT2Tokenizer])
def test_output_is_the_documents(auto):
    assert auto.from_pretrained("gpt2")("hello!") == {
        "input_ids": [50256, 31373, 0, 50256], "token_type_ids": [0, 0, 0, 0], "attention_mask": [1, 1, 1, 1],
    }  # fmt: skip


def test_vocabulary_is_gpt2s(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == 50257
    assert tokenizer.model_max_length == 1024
    for name in ("bos", "eos", "pad", "unk"):
        assert getattr(tokenizer, f"{name}_token") == "<|endoftext|>"
        assert getattr(tokenizer, f"{name}_token_id") == END


def test_a_list_gives_a_list_of_lists(tokenizer):
    rows = tokenizer(["hello!", "I love Beijing, because"])
    assert rows["input_ids"] == [[END, 31373, 0, END], [END, 40, 1842, 11618, 11, 780, END]]
    assert rows["token_type_ids"] == [[0] * 4, [0] * 7]
    assert rows["attention_mask"] == [[1] * 4, [1] * 7]
    assert tokenizer(("hello!",))["input_ids"] == [[END, 31373, 0, END]]
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


def test_special_tokens_are_left_out_when_asked(tokenizer):
    assert tokenizer("hello!", add_special_tokens=False)["input_ids"] == [31373, 0]
    assert tokenizer.encode("hello!") == [END, 31373, 0, END]
    assert tokenizer.encode("hello!", add_special_tokens=False) == [31373, 0]
    assert tokenizer.tokenize("hello my world!") == ["hello", "Ġmy", "Ġworld", "!"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"add_bos_token": False}, [31373, END]),
        ({"add_eos_token": False}, [END, 31373]),
        ({"add_bos_token": False, "add_eos_token": False}, [31373]),
        ({"bos_token": "A", "eos_token": "B"}, [32, 31373, 33]),
    ],
)
def test_what_a_call_adds_is_an_option(options, expected):
    assert GPT2Tokenizer.from_pretrained("gpt2", **options)("hello")["input_ids"] == expected


def test_add_prefix_space():
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2", add_prefix_space=True, add_bos_token=False, add_eos_token=False)
    assert tokenizer("hello")["input_ids"] == tokenizer(" hello")["input_ids"] == [23748]


# Padding ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [True, "longest"])
def test_padding_to_the_longest(tokenizer, padding):
    rows = tokenizer(["hello!", "hello"], padding=padding)
    assert rows["input_ids"] == [[END, 31373, 0, END], [END, 31373, END, END]]
    assert rows["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert rows["token_type_ids"] == [[0, 0, 0, 0]] * 2


def test_padding_on_the_left():
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2", padding_side="left", pad_token="!")
    rows = tokenizer(["hello", "hello you"], padding=True, return_offsets_mapping=True)
    assert rows["input_ids"] == [[0, END, 31373, END], [END, 31373, 345, END]]
    assert rows["attention_mask"] == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert rows["offset_mapping"] == [[(0, 0), (0, 0), (0, 5), (0, 0)], [(0, 0), (0, 5), (5, 9), (0, 0)]]


def test_padding_to_a_length(tokenizer):
    row = tokenizer("hello!", padding="max_length", max_length=7)
    assert row["input_ids"] == [END, 31373, 0, END, END, END, END]
    assert row["attention_mask"] == [1, 1, 1, 1, 0, 0, 0]
    assert len(tokenizer("hello!", padding="max_length")["input_ids"]) == 1024
    rows = tokenizer(["hello!", "hello"], padding=True, max_length=100)
    assert [len(ids) for ids in rows["input_ids"]] == [4, 4]


def test_padding_to_a_length_needs_one(folder):
    endless = GPT2Tokenizer.from_pretrained(folder)
    with pytest.raises(ArgumentError, match="padding='max_length' needs max_length"):
        endless("hello", padding="max_length")


def test_padding_needs_a_pad_token(tokenizer):
    bare = GPT2Tokenizer.from_pretrained("gpt2")
    bare.pad_token = None
    assert bare.pad_token_id is None
    with pytest.raises(ArgumentError, match="padding needs a pad token"):
        bare(["hello", "hello you"], padding=True)
    assert len(bare(["hello", "you"], padding=True)["input_ids"]) == 2  # nothing is missing here


# Truncation ---------------------------------------------------------------------------------------------------------

NUMBERS = "one two three four five"  # five tokens


@pytest.mark.parametrize(
    ("side", "length", "text"),
    [
        ("right", 5, "one two three"),
        ("left", 5, " three four five"),
        ("right", 3, "one"),
        ("left", 3, " five"),
        ("left", 2, ""),
        ("right", 2, ""),
        ("left", 7, NUMBERS),
        ("right", 100, NUMBERS),
    ],
)
def test_special_tokens_survive_the_cut(side, length, text):
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2", truncation_side=side)
    row = tokenizer(NUMBERS, truncation=True, max_length=length, return_offsets_mapping=True)
    ids = row["input_ids"]
    assert (ids[0], ids[-1]) == (END, END)
    assert len(ids) <= length
    assert tokenizer.decode(ids[1:-1]) == text
    assert "".join(NUMBERS[start:end] for start, end in row["offset_mapping"]) == text
    assert len(row["attention_mask"]) == len(row["token_type_ids"]) == len(ids)


def test_truncation_without_a_length_is_to_the_models_own(tokenizer):
    long = "one " * 2000
    assert len(tokenizer(long, truncation=True)["input_ids"]) == 1024
    assert len(tokenizer(long)["input_ids"]) == 2003  # nothing is cut unasked
    short = GPT2Tokenizer.from_pretrained("gpt2", model_max_length=8)
    assert len(short(long, truncation=True)["input_ids"]) == 8


def test_truncation_of_some_and_padding_of_others(tokenizer):
    rows = tokenizer([NUMBERS, "one"], truncation=True, padding="max_length", max_length=5, return_tensors="np")
    assert rows["input_ids"].shape == (2, 5)
    assert rows["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]


def test_a_text_that_is_too_long_is_not_cut_in_silence(tokenizer):
    with pytest.raises(InputTooLongError, match="a text has 7 tokens; max_length is 4") as caught:
        tokenizer(["one", NUMBERS], max_length=4)
    assert caught.value.value == 7
    assert "truncation=True" in caught.value.hint
    with pytest.raises(InputTooLongError, match="2003 tokens; max_length is 1024"):
        tokenizer("one " * 2000, padding="max_length")


def test_a_length_without_room_for_the_special_tokens(tokenizer):
    with pytest.raises(ArgumentError, match="max_length=1 leaves no room for the special tokens"):
        tokenizer("hello", truncation=True, max_length=1)
    assert tokenizer("hello you", truncation=True, max_length=1, add_special_tokens=False)["input_ids"] == [31373]


@pytest.mark.parametrize("length", [0, -1, 2.0, "5", True])
def test_lengths_that_are_none(tokenizer, length):
    with pytest.raises(ArgumentError, match=r"max_length=.* is not a whole number of at least 1"):
        tokenizer("hello", max_length=length)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "left"}, "padding='left' is not one of"),
        ({"padding": None}, "padding=None"),
        ({"truncation": "longest_first"}, "truncation='longest_first' is neither True nor False"),
        ({"truncation": "do_not_truncate"}, "neither True nor False"),
        ({"return_tensors": "pt"}, "return_tensors='pt' is not one of None, 'np', 'ms'"),
        ({"return_tensors": True}, "return_tensors=True"),
    ],
)
def test_values_of_options_that_are_not_known(tokenizer, options, message):
    with pytest.raises(ArgumentError, match=message):
        tokenizer("hello", **options)
    with pytest.raises(TypeError, match="max_len"):
        tokenizer("hello", max_len=3)


@pytest.mark.parametrize("text", [None, 5, b"hello", {"text": "hello"}, ["hello", None], [["hello"]], [1, 2]])
def test_what_is_no_text_is_refused(tokenizer, text):
    with pytest.raises(ArgumentTypeError, match="a text is a string"):
        tokenizer(text)


def test_a_lone_surrogate_is_no_text(tokenizer):
    for call in (tokenizer, tokenizer.encode, tokenizer.tokenize):
        with pytest.raises(ArgumentError, match="a lone surrogate at character 2") as caught:
            call("ab\ud83d")
        assert caught.value.value == "\ud83d"
    with pytest.raises(ArgumentError, match="a lone surrogate at character 0"):
        tokenizer(["fine", "\udc00"])


# Tensors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "cls", "dtype"), [("np", np.ndarray, np.int64), ("ms", ms.Tensor, ms.int32)])
def test_tensors_have_a_batch_dimension_and_their_types(tokenizer, kind, cls, dtype):
    for text, count in (("hello!", 1), (["hello!"], 1), (["hello!", "hello you"], 2)):
        result = tokenizer(text, return_tensors=kind, return_offsets_mapping=True)
        assert set(result) == {"input_ids", "token_type_ids", "attention_mask", "offset_mapping"}
        for name, value in result.items():
            assert type(value) is cls
            assert value.dtype == dtype
            assert value.shape == ((count, 4, 2) if name == "offset_mapping" else (count, 4))
        assert np.asarray(result["input_ids"]).tolist()[0] == [END, 31373, 0, END]


def test_rows_of_unequal_length_make_no_tensor(tokenizer):
    with pytest.raises(ArgumentError, match="rows of unequal length make no tensor") as caught:
        tokenizer(["hello!", "hello"], return_tensors="np")
    assert caught.value.hint == "pass padding=True"
    assert tokenizer(["hello!", "hello"], padding=True, return_tensors="np")["input_ids"].shape == (2, 4)


def test_no_rows_make_no_tensor(tokenizer):
    with pytest.raises(ArgumentError, match="an empty list of texts makes no tensor"):
        tokenizer([], return_tensors="np")
    assert tokenizer("", add_special_tokens=False, return_tensors="np")["input_ids"].shape == (1, 0)


# Offsets ------------------------------------------------------------------------------------------------------------


def test_offsets_of_ascii_give_the_text_back(tokenizer):
    text = "  Hello, my dear World! It's 12345 o'clock.\n\tYes  "
    row = tokenizer(text, return_offsets_mapping=True)
    spans = row["offset_mapping"]
    assert (spans[0], spans[-1]) == ((0, 0), (0, 0))
    assert "".join(text[start:end] for start, end in spans) == text
    for index, (start, end) in zip(row["input_ids"][1:-1], spans[1:-1], strict=True):
        assert tokenizer.decode(index) == text[start:end]


@pytest.mark.parametrize("text", ["naïve café", "日本 語", "a🤗b", "x<|endoftext|>é"])
def test_offsets_count_characters_and_cover_the_text(tokenizer, text):
    row = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = row["offset_mapping"]
    assert len(spans) == len(row["input_ids"])
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert {position for start, end in spans for position in range(start, end)} == set(range(len(text)))


def test_offsets_are_the_same_from_either_form_of_the_vocabulary(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    data["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    again = GPT2Tokenizer.from_pretrained(tmp_path)
    text = "hello my  world"
    assert again(text, return_offsets_mapping=True) == tokenizer(text, return_offsets_mapping=True)


# And back -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "gpt2_tiny"])
@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text[:12]))
def test_odd_texts_come_back(name, text, tokenizer):
    used = tokenizer if name == "gpt2" else GPT2Tokenizer.from_pretrained(name)
    ids = used.encode(text, add_special_tokens=False)
    assert all(0 <= index < len(used) for index in ids)
    assert used.decode(ids) == text
    plain = text.replace("<|endoftext|>", "")
    assert used.decode(used.encode(text), skip_special_tokens=True) == plain


@pytest.mark.parametrize("name", ["gpt2", "gpt2_tiny"])
def test_a_thousand_random_texts_come_back(name):
    tokenizer = GPT2Tokenizer.from_pretrained(name)
    generator = random.Random(0)
    for _ in range(1000):
        text = random_text(generator)
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_special_tokens_in_a_text_are_themselves(tokenizer):
    ids = tokenizer.encode("hello<|endoftext|>hello", add_special_tokens=False)
    assert ids == [31373, END, 31373]
    assert tokenizer.decode(ids) == "hello<|endoftext|>hello"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "hellohello"
    tiny = GPT2Tokenizer.from_pretrained("gpt2_tiny")
    assert tiny.encode("<|pad|><|endoftext|>", add_special_tokens=False) == [1, 0]
    assert tiny.decode([1, 0, 1], skip_special_tokens=True) == ""


@pytest.mark.parametrize(
    "ids",
    [
        [31373, 0],
        (31373, 0),
        np.array([31373, 0]),
        np.array([31373, 0], np.int32),
        ms.Tensor([31373, 0], ms.int32),
        range(0),
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_ids_are_decoded_from_what_holds_them(tokenizer, ids):
    assert tokenizer.decode(ids) == ("hello!" if len(ids) else "")


def test_single_ids_and_iterators_are_decoded(tokenizer):
    assert tokenizer.decode(31373) == tokenizer.decode(np.int64(31373)) == "hello"
    assert tokenizer.decode(list(np.array([31373, 0], np.int32))) == "hello!"
    assert tokenizer.decode(iter([31373, 0])) == "hello!"


def test_batch_decode(tokenizer):
    rows = tokenizer(["hello!", "I love Beijing"])["input_ids"]
    assert tokenizer.batch_decode(rows, skip_special_tokens=True) == ["hello!", "I love Beijing"]
    assert tokenizer.batch_decode(rows)[0] == "<|endoftext|>hello!<|endoftext|>"
    for kind in ("np", "ms"):
        tensor = tokenizer(["hello!", "hello"], padding=True, return_tensors=kind)["input_ids"]
        assert tokenizer.batch_decode(tensor, skip_special_tokens=True) == ["hello!", "hello"]


@pytest.mark.parametrize("wrong", [-1, 50257, [0, 99999], [2**40], np.array([-5])])
def test_ids_out_of_range_are_named(tokenizer, wrong):
    value = int(np.ravel(wrong)[-1])
    with pytest.raises(ArgumentError, match=f"id {value} is not in the vocabulary of 50257 entries") as caught:
        tokenizer.decode(wrong)
    assert caught.value.value == value


@pytest.mark.parametrize("wrong", ["hello", [1.0], [True], [[1, 2]], None, np.array([1.5]), np.array(1.5), ["1"]])
def test_what_are_no_ids_is_refused(tokenizer, wrong):
    with pytest.raises(ArgumentTypeError, match="decode takes a flat list of ids"):
        tokenizer.decode(wrong)


def test_bytes_that_are_no_text_become_replacement_characters(tokenizer):
    first, *_ = tokenizer.encode("🤗", add_special_tokens=False)
    assert tokenizer.decode([first]) == "\ufffd"


def test_tokens_and_ids_of_each_other(tokenizer):
    assert tokenizer.convert_tokens_to_ids("hello") == 31373
    assert tokenizer.convert_tokens_to_ids(["hello", "Ġmy", "<|endoftext|>"]) == [31373, 616, END]
    assert tokenizer.convert_tokens_to_ids(["no such token"]) == [END]  # the unknown token
    assert tokenizer.convert_ids_to_tokens(616) == "Ġmy"
    assert tokenizer.convert_ids_to_tokens([31373, 0]) == ["hello", "!"]
    assert tokenizer.convert_ids_to_tokens(np.array([31373, 0])) == ["hello", "!"]
    assert tokenizer.convert_ids_to_tokens(np.int64(616)) == "Ġmy"
    assert tokenizer.convert_ids_to_tokens([-1, 50257, 2**40]) == [None, None, None]


# Files --------------------------------------------------------------------------------------------------------------

OPTIONS = {
    "bos_token": "A",
    "eos_token": "B",
    "pad_token": "!",
    "unk_token": "?",
    "sep_token": ",",
    "cls_token": ".",
    "mask_token": ";",
    "extra_special_tokens": ["<"],
    "prompt_special_tokens": True,
    "chat_template": "{{ messages[0].content }}",
    "add_bos_token": False,
    "add_eos_token": False,
    "padding_side": "left",
    "truncation_side": "left",
    "model_max_length": 77,
    "add_prefix_space": True,
}


def options_of(tokenizer):
    return {name: getattr(tokenizer, name) for name in tokenizer.options}


def test_every_option_has_a_case_here(tokenizer):
    assert set(OPTIONS) == set(GPT2Tokenizer.options)
    assert not {name for name, value in OPTIONS.items() if getattr(tokenizer, name) == value}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_a_round_trip_keeps_the_option(option, tmp_path):
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2_tiny", **{option: OPTIONS[option]})
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert getattr(again, option) == OPTIONS[option]
    assert options_of(again) == options_of(tokenizer)


def test_a_round_trip_keeps_all_together_and_the_ids(tmp_path):
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2", **OPTIONS)
    tokenizer.save_pretrained(tmp_path / "new" / "folder")
    again = GPT2Tokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert options_of(again) == options_of(tokenizer) == OPTIONS
    for text in ODD_TEXTS:
        assert again(text, return_offsets_mapping=True) == tokenizer(text, return_offsets_mapping=True)
    other = GPT2Tokenizer.from_pretrained(tmp_path / "new" / "folder", padding_side="right", add_prefix_space=False)
    assert (other.padding_side, other.tokenize("hello")) == ("right", ["hello"])


def test_a_directory_is_saved_into_again(tmp_path):
    for name in ("gpt2", "gpt2_tiny"):
        GPT2Tokenizer.from_pretrained(name).save_pretrained(tmp_path)
    again = GPT2Tokenizer.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path)
    assert len(GPT2Tokenizer.from_pretrained(tmp_path)) == len(again) == 1024
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    ]  # fmt: skip


@pytest.mark.parametrize("files", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_either_form_of_the_vocabulary_is_enough(files, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "part").mkdir()
    for name in files:
        shutil.copy(tmp_path / "saved" / name, tmp_path / "part")
    again = GPT2Tokenizer.from_pretrained(tmp_path / "part")
    assert len(again) == 50257
    for text in ODD_TEXTS:
        assert again.encode(text) == tokenizer.encode(text, add_special_tokens=False)


def test_files_are_given_to_the_constructor(folder):
    tokenizer = GPT2Tokenizer(folder / "vocab.json", str(folder / "merges.txt"), pad_token="<|pad|>")
    assert tokenizer("Once")["input_ids"] == GPT2Tokenizer.from_pretrained("gpt2_tiny")("Once")["input_ids"]
    with pytest.raises(FileMissingError, match="needs vocab_file and merges_file"):
        GPT2Tokenizer(folder / "vocab.json")
    with pytest.raises(FileMissingError, match=r"there is no file '.*nope\.txt'"):
        GPT2Tokenizer(folder / "vocab.json", folder / "nope.txt")


def test_added_tokens_survive(folder, tmp_path):
    """As in checkpoints that were tuned with their own tokens, which vocab.json has not."""
    GPT2Tokenizer.from_pretrained(folder).save_pretrained(folder)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["[PAD]", "<|user|>"])
    backend.add_tokens(["Beijing"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"pad_token": {"content": "[PAD]", "__type": "AddedToken"}}')
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path / "again")
    again = GPT2Tokenizer.from_pretrained(tmp_path / "again")
    for one in (tokenizer, again):
        assert (len(one), one.pad_token, one.pad_token_id) == (1027, "[PAD]", 1024)
        ids = one.encode("<|user|>Beijing", add_special_tokens=False)
        assert ids == [1025, 1026]
        assert one.decode(ids) == "<|user|>Beijing"
        assert one.decode(ids, skip_special_tokens=True) == "Beijing"


def test_special_tokens_map_of_older_checkpoints_is_read(folder):
    tokens = {"pad_token": "<|pad|>", "bos_token": {"content": "!", "lstrip": False}}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == ("<|pad|>", "!", "<|endoftext|>")
    (folder / "tokenizer_config.json").write_text('{"pad_token": "?", "unk_token": "?"}')
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token, tokenizer.unk_token) == ("<|pad|>", "?")  # as in transformers
    (folder / "tokenizer_config.json").write_text('{"pad_token": "?", "added_tokens_decoder": {}}')
    assert GPT2Tokenizer.from_pretrained(folder).pad_token == "?"  # whose table has replaced the older file
    assert GPT2Tokenizer.from_pretrained(folder, pad_token=".").pad_token == "."


def test_no_limit_is_read_however_it_is_written(folder):
    for limit in (10**30, 1e30, 10**18):
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": limit}))
        tokenizer = GPT2Tokenizer.from_pretrained(folder)
        assert len(tokenizer("one " * 3000, truncation=True)["input_ids"]) > 3000


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding_size": "left"}, ArgumentError, "GPT2Tokenizer has no option 'padding_size'"),
        ({"padding_side": "up"}, ConfigError, "padding_side='up' is neither 'left' nor 'right'"),
        ({"truncation_side": None, "padding_side": 3}, ConfigError, "padding_side=3"),
        ({"pad_token": "[PAD]"}, ConfigError, r"pad_token='\[PAD\]' is not in the vocabulary"),
        ({"eos_token": 3}, ConfigError, "eos_token=3 is not in the vocabulary"),
        ({"model_max_length": 0}, ConfigError, "model_max_length=0 is not a number of at least 1"),
        ({"model_max_length": "long"}, ConfigError, "model_max_length='long'"),
        ({"add_bos_token": "false"}, ConfigError, "add_bos_token='false' is neither True nor False"),
        ({"add_eos_token": 0}, ConfigError, "add_eos_token=0 is neither True nor False"),
        ({"add_prefix_space": "no"}, ConfigError, "add_prefix_space='no' is neither True nor False"),
    ],
)
def test_options_that_cannot_be_had(options, error, message):
    with pytest.raises(error, match=message):
        GPT2Tokenizer.from_pretrained("gpt2_tiny", **options)


def test_unknown_option_names_the_close_one():
    with pytest.raises(ArgumentError) as caught:
        AutoTokenizer.from_pretrained("gpt2", add_bos=True)
    assert caught.value.hint == "did you mean 'add_bos_token'?"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", ""),
        ("vocab.json", '{"a": 0,'),
        ("vocab.json", '["a", "b"]'),
        ("vocab.json", '{"a": "zero"}'),
        ("merges.txt", "#version: 0.2\nno such pair here\n"),
        ("merges.txt", "#version: 0.2\nqq zz\n"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"version": "1.0", "model": '),
        ("tokenizer_config.json", "{'single': 'quotes'}"),
        ("tokenizer_config.json", '["a list"]'),
        ("tokenizer_config.json", "[" * 100_000),
        ("special_tokens_map.json", "null"),
    ],
    ids=lambda text: text[:30],
)
def test_broken_files_are_named(name, content, folder):
    (folder / name).write_text(content)
    with pytest.raises(IntegrityError) as caught:
        GPT2Tokenizer.from_pretrained(folder)
    assert str(folder / name) in caught.value.what
    assert caught.value.why or "not a mapping" in caught.value.what


def test_a_tokenizer_json_of_another_kind_is_read(folder, tmp_path):
    words = tokenizers.models.WordLevel({"hello": 0, "<|endoftext|>": 1}, unk_token="<|endoftext|>")
    tokenizers.Tokenizer(words).save(str(folder / "tokenizer.json"))
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path / "again")
    for one in (tokenizer, GPT2Tokenizer.from_pretrained(tmp_path / "again")):
        assert one.encode("hello") == [0]


# Presets and other checkpoints --------------------------------------------------------------------------------------


def test_what_presets_put_around_calls_is_not_baked_into_files(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("hello!").ids == [31373, 0]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("hello!")["input_ids"] == [END, 31373, 0, END]
    assert again.encode_prompt("hello!") == tokenizer.encode_prompt("hello!") == [31373, 0]


def test_a_checkpoint_of_others_adds_nothing_unless_asked(folder, tmp_path):
    """As in transformers; a null says as much as nothing."""
    for fields in ("{}", '{"add_bos_token": null, "add_eos_token": null}'):
        (folder / "tokenizer_config.json").write_text(fields)
        tokenizer = GPT2Tokenizer.from_pretrained(folder)
        assert tokenizer("Once") == tokenizer("Once", add_special_tokens=False)
    bos = GPT2Tokenizer.from_pretrained(folder, add_bos_token=True)
    bos.save_pretrained(tmp_path / "bos")
    for one in (bos, GPT2Tokenizer.from_pretrained(tmp_path / "bos")):
        assert one("Once")["input_ids"] == one.encode_prompt("Once") == [0, *tokenizer("Once")["input_ids"]]
    bos.add_bos_token, bos.add_eos_token = False, True
    assert bos("Once")["input_ids"] == [*tokenizer("Once")["input_ids"], 0]
    with pytest.raises(ConfigError, match="neither True nor False"):
        bos.add_bos_token = None
    with pytest.raises(ConfigError, match="needs a bos_token"):
        GPT2Tokenizer.from_pretrained(folder, add_bos_token=True, bos_token=None)


def test_repr_says_what_it_is(tokenizer):
    assert repr(tokenizer) == (
        "GPT2Tokenizer('gpt2', vocab_size=50257, bos_token='<|endoftext|>', eos_token='<|endoftext|>', "
        "pad_token='<|endoftext|>', unk_token='<|endoftext|>', chat_template=no)"
    )


def test_ids_that_the_vocabulary_lacks_are_left_out_on_request(tokenizer):
    assert tokenizer.max_id == 50256
    assert tokenizer.decode([31373, 50300, 0], strict=False) == "hello!"


def test_added_tokens_have_the_ids_that_files_say(folder, tmp_path):
    (folder / "added_tokens.json").write_text('{"<|user|>": 1030, "Beijing": 1024}')
    (folder / "special_tokens_map.json").write_text('{"additional_special_tokens": ["<|user|>"]}')
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/added_tokens.json").read_text()) == {"<|user|>": 1030, "Beijing": 1024}
    for one in (tokenizer, GPT2Tokenizer.from_pretrained(tmp_path / "again")):
        assert one.encode("<|user|>Beijing") == [1030, 1024]
        assert (len(one), one.max_id, one.extra_special_tokens) == (1026, 1030, ["<|user|>"])
        assert one.decode([1030, 1024, 1027]) == "<|user|>Beijing"
        assert one.decode([1030, 1024], skip_special_tokens=True) == "Beijing"
        with pytest.raises(ArgumentError, match="id 1031"):
            one.decode([1031])
    (folder / "added_tokens.json").write_text('{"<|user|>": 3}')
    with pytest.raises(IntegrityError, match=r"adds '<\|user\|>' as 3"):
        GPT2Tokenizer.from_pretrained(folder)


def test_a_directory_with_half_a_vocabulary(folder):
    (folder / "merges.txt").unlink()
    with pytest.raises(FileMissingError, match="has no vocabulary") as caught:
        GPT2Tokenizer.from_pretrained(folder)
    assert "neither tokenizer.json nor vocab.json with merges.txt" in caught.value.why


def test_what_a_small_vocabulary_lacks_is_the_unknown_token(tmp_path):
    (tmp_path / "vocab.json").write_text('{"l": 0, "o": 1, "w": 2, "lo": 3, "low": 4, "<unk>": 5}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\nl o\nlo w\n")
    specials = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<unk>")
    tokenizer = GPT2Tokenizer.from_pretrained(tmp_path, **specials)
    assert tokenizer.encode("lowx lo", add_special_tokens=False) == [4, 5, 5, 3]
    assert tokenizer.tokenize("wow") == ["w", "o", "w"]
    tokenizer.save_pretrained(tmp_path)
    assert GPT2Tokenizer.from_pretrained(tmp_path).encode("lowx", add_special_tokens=False) == [4, 5]
    with pytest.raises(ConfigError, match=r"'<\|endoftext\|>' is not in the vocabulary"):
        GPT2Tokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
