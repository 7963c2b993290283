"""Models from GGUF files: in the file's own blocks and widened, both as numbers say."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core import AutoModelForCausalLM, AutoTokenizer, pipeline
from mf_core.errors import UnsupportedError, WeightsError
from mf_core.generation.rows import CachedRows
from mf_core.nn.kernels import kernel

gguf = pytest.importorskip("gguf")

from ..support.gguf_files import write_llama  # noqa: E402

IDS = np.array([[104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33]], np.int32)


@pytest.mark.parametrize(("kind", "tied"), [("F32", False), ("Q8_0", True), ("Q4_0", False), ("Q4_1", True)])
def test_logits_are_those_of_the_widened_weights(tmp_path, kind, tied):
    write_llama(tmp_path / "a.gguf", kind=kind, tied=tied)
    write_llama(tmp_path / "b.gguf", kind="F32", tied=tied)
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf")
    wide = AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf", weight_dtype="float32")
    in_blocks = kind != "F32" and kernel("decoder_pass") is not None
    assert (kept.weight_dtype, wide.weight_dtype) == (kind.lower() if in_blocks else None, None)
    assert kept.num_parameters() == wide.num_parameters()
    want = wide(Tensor(IDS)).asnumpy()[0]
    with CachedRows(kept, 1) as rows:
        got = [rows.put([IDS[0, :9].tolist()], 9)[0], rows.put([IDS[0, 9:].tolist()], 3)[0]]
    # Few rows are multiplied as numbers of 8 bits.
    assert np.abs(np.concatenate(got) - want).max() <= (0.05 if in_blocks else 2e-5) * np.abs(want).max()


def test_tokenizer_and_pipeline(tmp_path):
    path = tmp_path / "a.gguf"
    write_llama(path, kind="Q8_0", tokenizer__chat_template="{{ messages[0].content }}!")
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False) == "hello!"
    text = pipeline("text_generation", str(path))("hello", max_new_tokens=3, do_sample=False)
    assert text[0]["text_generation_text"][0].startswith("hello")


def test_what_is_not_done_with_blocks_is_an_error(tmp_path):
    write_llama(tmp_path / "a.gguf", kind="Q8_0")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf")
    if model.weight_dtype is None:
        pytest.skip("the backend widens them")
    with pytest.raises(UnsupportedError, match="q8_0"):
        model.save_pretrained(tmp_path / "saved")
    wide = AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf", weight_dtype="float32")
    wide.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again(Tensor(IDS)).asnumpy(), wide(Tensor(IDS)).asnumpy())


def test_files_of_another_model_are_refused(tmp_path):
    write_llama(tmp_path / "a.gguf", layers=1)
    data = (tmp_path / "a.gguf").read_bytes().replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xy.weight")
    (tmp_path / "a.gguf").write_bytes(data)
    with pytest.raises(WeightsError, match=r"missing, such as 'model.layers.0.mlp.up_proj\.weight'.*left over"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf")
