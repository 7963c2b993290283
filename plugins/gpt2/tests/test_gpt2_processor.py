"""GPT-2's processor: the document's output, its options, and its files."""

import json

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoProcessor, GPT2Processor, GPT2Tokenizer
from mf_core.errors import ArgumentError, ArgumentTypeError, FileMissingError

END = 50256


@pytest.fixture(scope="module")
def processor():
    return GPT2Processor.from_pretrained("gpt2")


@pytest.fixture(scope="module")
def tiny():
    return GPT2Tokenizer.from_pretrained("gpt2_tiny")


def test_one_text_is_a_row_of_the_documents_shape(processor):
    text = processor("hello!")["text"]
    assert isinstance(text, ms.Tensor)
    assert (text.shape, text.dtype) == ((1, 128), ms.int32)
    assert text.asnumpy().tolist() == [[END, 31373, 0] + [END] * 125]


def test_a_list_is_a_row_for_each(processor):
    text = processor(["hello!", "I love Beijing, because", ""])["text"]
    assert (text.shape, text.dtype) == ((3, 128), ms.int32)
    assert text.asnumpy()[1, :8].tolist() == [END, 40, 1842, 11618, 11, 780, END, END]
    assert text.asnumpy()[2].tolist() == [END] * 128
    np.testing.assert_array_equal(text.asnumpy()[:1], processor("hello!")["text"].asnumpy())


def test_long_texts_are_cut_and_keep_their_end(processor):
    text = processor("hello " * 500)["text"].asnumpy()
    assert text.shape == (1, 128)
    assert (text[0, 0], text[0, -1]) == (END, END)
    assert END not in text[0, 1:-1]


@pytest.mark.parametrize("length", [2, 3, 256])
def test_length_is_an_option(length):
    for made in (GPT2Processor.from_pretrained("gpt2", max_length=length), GPT2Processor(max_length=length)):
        assert made("hello! how are you")["text"].shape == (1, length)


def test_forms_of_the_result(tiny):
    rows = GPT2Processor(tiny, max_length=6, return_tensors=None)("Once")["text"]
    assert (type(rows), len(rows), len(rows[0])) == (list, 1, 6)
    array = GPT2Processor(tiny, max_length=6, return_tensors="np")("Once")["text"]
    assert (type(array), array.dtype, array.tolist()) == (np.ndarray, np.int64, rows)
    tensor = GPT2Processor(tiny, max_length=6)("Once")["text"]
    assert (tensor.dtype, tensor.asnumpy().tolist()) == (ms.int32, rows)


def test_tokenizer_of_ones_own_pads_in_its_own_way(tiny):
    left = GPT2Tokenizer.from_pretrained("gpt2_tiny", padding_side="left", add_bos_token=False)
    once = left.convert_tokens_to_ids("Once")
    options = {"tokenizer": left, "max_length": 4}
    for made in (GPT2Processor(**options), AutoProcessor.from_pretrained("gpt2_tiny", **options)):
        assert made.tokenizer is left
        assert made("Once")["text"].asnumpy().tolist() == [[1, 1, once, 0]]


def test_without_a_tokenizer_it_has_gpt2s():
    assert len(GPT2Processor().tokenizer) == 50257
    assert len(GPT2Processor(None).tokenizer) == 50257


def test_a_round_trip_keeps_options_and_tokenizer(tiny, tmp_path):
    GPT2Processor(tiny, max_length=7, return_tensors="np").save_pretrained(tmp_path / "new")
    for made in (AutoProcessor.from_pretrained(tmp_path / "new"), GPT2Processor.from_pretrained(tmp_path / "new")):
        assert type(made) is GPT2Processor
        assert (made.max_length, made.return_tensors, len(made.tokenizer)) == (7, "np", 1024)
        assert made("Once upon")["text"].tolist() == GPT2Processor(tiny, 7, "np")("Once upon")["text"].tolist()
    changed = AutoProcessor.from_pretrained(tmp_path / "new", max_length=9)
    assert (changed.max_length, changed.return_tensors) == (9, "np")
    data = json.loads((tmp_path / "new" / "preprocessor_config.json").read_text())
    assert data == {"processor_class": "GPT2Processor", "max_length": 7, "return_tensors": "np"}


@pytest.mark.parametrize("length", [0, -5, 1.5, "128", None, True])
def test_lengths_that_are_none(tiny, length):
    with pytest.raises(ArgumentError, match=r"max_length=.* is not a whole number of at least 1"):
        GPT2Processor(tiny, max_length=length)
    with pytest.raises(ArgumentError, match=r"max_length=.* is not a whole number of at least 1"):
        GPT2Processor.from_pretrained("gpt2_tiny", max_length=length)


def test_a_length_without_room_for_special_tokens(tiny):
    with pytest.raises(ArgumentError, match="max_length=1 leaves no room"):
        GPT2Processor(tiny, max_length=1)("hello")


@pytest.mark.parametrize("kind", ["pt", "MS", True, 1])
def test_forms_that_are_not_known(tiny, kind):
    with pytest.raises(ArgumentError, match=f"return_tensors={kind!r} is not one of None, 'np', 'ms'"):
        GPT2Processor(tiny, return_tensors=kind)


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(ArgumentTypeError, match="GPT2Processor takes a tokenizer, not str") as caught:
        GPT2Processor("gpt2")
    assert "GPT2Processor.from_pretrained(name_or_path)" in caught.value.hint


def test_unknown_option_names_the_close_one():
    with pytest.raises(ArgumentError, match="GPT2Processor has no option 'maxlength'") as caught:
        AutoProcessor.from_pretrained("gpt2", maxlength=3)
    assert caught.value.hint == "did you mean 'max_length'?"


@pytest.mark.parametrize("text", [None, 5, ["hello", 3], {"text": "hello"}])
def test_what_is_no_text_is_refused(processor, text):
    with pytest.raises(ArgumentTypeError, match="a text is a string"):
        processor(text)


def test_no_texts_are_refused(processor):
    with pytest.raises(ArgumentError, match="an empty list of texts"):
        processor([])


def test_a_file_with_options_out_of_range_is_refused(tiny, tmp_path):
    GPT2Processor(tiny).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"processor_class": "GPT2Processor", "max_length": -1}')
    with pytest.raises(ArgumentError, match="max_length=-1"):
        AutoProcessor.from_pretrained(tmp_path)


def test_a_directory_without_vocabulary(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(FileMissingError, match="has no vocabulary"):
        AutoProcessor.from_pretrained(tmp_path)
