"""GGUF files: what their headers say, their tokenizers, and what damaged ones give."""

import json
import random

import numpy as np
import pytest
from tokenizers import Tokenizer

from mf_core.checkpoint.gguf.config import config_of
from mf_core.checkpoint.gguf.header import read_header
from mf_core.checkpoint.gguf.pretokenizers import pre_tokenizer
from mf_core.checkpoint.gguf.tokenizer import tokenizer_files
from mf_core.errors import FileMissingError, IntegrityError, MFError, UnsupportedError

gguf = pytest.importorskip("gguf")

from ..support.gguf_files import MERGES, byte_letters, write_llama  # noqa: E402


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return path, write_llama(path, kind="Q4_0")


def test_header_says_what_the_library_reads(file):
    path, values = file
    header, reader = read_header(path), gguf.GGUFReader(path)
    assert set(header.tensors) == set(values) == {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        stored = header.tensors[tensor.name]
        assert (stored.start, stored.nbytes) == (tensor.data_offset, tensor.n_bytes)
        np.testing.assert_array_equal(stored.read(), values[tensor.name])
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            assert header.metadata[key] == field.contents(), key


def test_config_has_the_keys_of_a_config_file(file):
    config = config_of(read_header(file[0]))
    assert config == {
        "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96,
        "max_position_embeddings": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "vocab_size": 263, "tie_word_embeddings": True, "bos_token_id": None,
        "eos_token_id": 262, "pad_token_id": None,
        "attention_bias": False,
    }  # fmt: skip


def test_byte_level_tokenizer(file):
    files = tokenizer_files(read_header(file[0]))
    tokenizer = Tokenizer.from_str(json.dumps(files["tokenizer.json"]))
    letters = byte_letters()
    merged = {merge.replace(" ", ""): 256 + number for number, merge in enumerate(MERGES)}
    assert tokenizer.encode("hello wo<|end|>").ids == [merged["hello"], merged["Ġwo"], 262]
    assert tokenizer.encode("19").ids == [letters.index("1"), letters.index("9")]
    assert tokenizer.decode(tokenizer.encode("你好, hello").ids) == "你好, hello"
    assert files["tokenizer_config.json"]["eos_token"] == "<|end|>"
    assert files["tokenizer_config.json"]["add_bos_token"] is False


def test_sentence_piece_tokenizer():
    """Pieces are joined by their scores; what is no piece is bytes."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "ab", "▁a", "▁ab"]
    types = [2, 3, 3, *[6] * 256, *[1] * 6]
    scores = [0.0] * 259 + [-9.0, -8.0, -7.0, -1.0, -3.0, -2.0]
    metadata = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": pieces, "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0, "general.architecture": "llama",
    }  # fmt: skip
    header = type("GGUFHeader", (), {"metadata": metadata, "architecture": "llama", "path": "x.gguf"})()
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_files(header)["tokenizer.json"]))
    encoded = tokenizer.encode("ab é")
    assert encoded.tokens == ["<s>", "▁ab", "▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(encoded.ids) == "ab é"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"tokenizer.ggml.model": "wordpiece"}, "of the kind 'wordpiece'"),
        ({"tokenizer.ggml.pre": "unheard-of"}, "as 'unheard-of' does"),
        ({"tokenizer.ggml.merges": None}, "no list of strings"),
        ({"tokenizer.ggml.token_type": [1]}, "263 tokens and 1 types"),
    ],
)
def test_tokenizer_that_is_not_read(file, change, error):
    header = read_header(file[0])
    with pytest.raises(MFError, match=error):
        tokenizer_files(type(header)(header.path, {**header.metadata, **change}, header.tensors, 0))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileMissingError):
        read_header(tmp_path / "no.gguf")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.gguf"
    for data, error in (
        (b"", "ends"), (b"PK\3\4" * 9, "magic"), (b"GGUF\1\0\0\0" + bytes(16), "version 1"),
        (b"GGUF\0\0\0\3" + bytes(16), "big-endian"),
        (b"GGUF\3\0\0\0" + b"\xff" * 16, "ends"), (b"GGUF\3\0\0\0" + bytes(8) + b"\xff" * 4 + bytes(4), "ends"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises((IntegrityError, UnsupportedError), match=error):
            read_header(path)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_right_or_refused(file, tmp_path, seed):
    """Cuts and changed bytes anywhere in the header: the same, or an error of ours, never anything else."""
    draw, data = random.Random(seed), bytearray(file[0].read_bytes())
    end, path = read_header(file[0]).digest_bytes, tmp_path / "x.gguf"
    for _ in range(60):
        changed = bytearray(data)
        if draw.random() < 0.3:
            del changed[draw.randrange(len(changed)) :]
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(min(end, len(changed))) if changed else 0
            if changed:
                changed[at] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            header = read_header(path)
            config_of(header)
            tokenizer_files(header)
            for tensor in header.tensors.values():
                tensor.raw()
        except MFError as error:
            assert len(str(error)) < 4000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deepseek-llm", ["Hej", ",", " w", "ö", "rld", ":", " x", "2", " =", " ", "1", "9", "\n", "\n", "中文", "ok"]),
        ("deepseek-coder", ["Hej", ",", " wörld", ":", " x", "2", " = ", "1", "9", "\n", "\n", "中文한", "ok"]),
        ("bloom", ["Hej", ",", " wörld:", " x2", " =", " 19", "\n\n", "中文", " 한ok"]),
    ],
)
def test_splitting_of_text(name, words):
    """As the published ``tokenizer.json`` of the models that the names stand for."""
    model = {"type": "BPE", "vocab": {}, "merges": []}
    splitter = Tokenizer.from_str(json.dumps({"model": model, "pre_tokenizer": pre_tokenizer(name)})).pre_tokenizer
    text = "".join(words)
    assert [text[start:end] for _, (start, end) in splitter.pre_tokenize_str(text)] == words
