"""Models from GGUF files: in the file's own blocks and widened, both as numbers say."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core import AutoModelForCausalLM, AutoTokenizer, pipeline
from mf_core.cli import main
from mf_core.conversion import plan_conversion
from mf_core.errors import ArgumentError, MFError, UnsupportedError, WeightsError
from mf_core.generation.rows import CachedRows
from mf_core.nn.kernels import kernel

gguf = pytest.importorskip("gguf")

from ..support.gguf_files import write_llama  # noqa: E402
from ..support.hub_server import HubServer  # noqa: E402
from ..support.lora_models import run_script  # noqa: E402

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


def test_a_file_of_a_repository(tmp_path):
    write_llama(tmp_path / "a.gguf")
    script = (
        "from mf_core import AutoConfig, AutoModelForCausalLM, AutoTokenizer\n"
        "name = 'hub:owner/tiny@v1:files/a.gguf'\n"
        "assert AutoConfig.from_pretrained(name).num_layers == 2\n"
        "ids = AutoTokenizer.from_pretrained(name)('hello')['input_ids']\n"
        "model = AutoModelForCausalLM.from_pretrained(name)\n"
        "assert len(model.generate([ids], max_new_tokens=2, do_sample=False, eos_token_id=None)[0]) == len(ids) + 2\n"
    )
    with HubServer() as server:
        server.add("owner/tiny", {"files/a.gguf": (tmp_path / "a.gguf").read_bytes()}, revision="v1")
        run_script(
            tmp_path, script, HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="0",
            HF_HUB_DISABLE_XET="1", NO_PROXY="127.0.0.1",
        )  # fmt: skip


def test_a_part_of_a_model_is_refused(tmp_path):
    write_llama(tmp_path / "a-00001-of-00003.gguf", split__count=3)
    with pytest.raises(UnsupportedError, match="one of 3 files that hold a model together"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "a-00001-of-00003.gguf")


def test_conversion(tmp_path, capsys):
    """The directory has the dequantized weights, the tokenizer and the chat template."""
    path, out = tmp_path / "a.gguf", tmp_path / "out"
    write_llama(path, kind="Q8_0", tied=False, tokenizer__chat_template="{{ messages[0].content }}!")
    assert main(["convert", str(path), "--output", str(out)]) == 0
    assert "a GGUF file of llama" in capsys.readouterr().out
    wide, read = (AutoModelForCausalLM.from_pretrained(each, weight_dtype="float32") for each in (path, out))
    assert np.array_equal(read(Tensor(IDS)).asnumpy(), wide(Tensor(IDS)).asnumpy())
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("hello world") == AutoTokenizer.from_pretrained(path)("hello world")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    halved = plan_conversion(path, dtype="float16")
    assert {tensor.dtype for tensor in halved.tensors} == {"float16"}
    with pytest.raises(ArgumentError, match="says its own hyper-parameters"):
        plan_conversion(path, "smollm2_135m")
    assert main(["convert", str(path)]) == 2 and "--output DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("block_count", 2**31 - 1, r"num_layers=2147483647 is larger than 10000"),
        ("embedding_length", 2**30, r"hidden_size=1073741824 is larger than"),
        ("context_length", 2**30, r"seq_length=1073741824 is larger than"),
        ("attention.head_count", 5, r"hidden_size=64 is not a multiple of num_heads=5"),
        ("feed_forward_length", 95, r"'blk.0.ffn_gate.weight' in a.gguf is F32 \(96, 64\); the model wants \(95, 64\)"),
        ("feed_forward_length", 2**27, r"the configuration is of a much larger model"),
    ],
)
def test_a_header_that_lies(key, value, message, tmp_path):
    """One error, before memory is taken for what the header says."""
    write_llama(tmp_path / "a.gguf", layers=1)
    data = bytearray((tmp_path / "a.gguf").read_bytes())
    at = data.index(f"llama.{key}".encode()) + len(f"llama.{key}") + 4
    data[at : at + 4] = value.to_bytes(4, "little")
    (tmp_path / "a.gguf").write_bytes(data)
    for use in (AutoModelForCausalLM.from_pretrained, plan_conversion):
        with pytest.raises(MFError, match=message):
            use(tmp_path / "a.gguf")
