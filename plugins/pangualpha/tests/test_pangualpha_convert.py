"""PanGu-alpha's published checkpoints become safetensors: the same logits, in bounded memory, or a clear error."""

import json
import os
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint
from safetensors.numpy import load_file

from mf_core import AutoModel, PanguAlphaConfig
from mf_core.conversion import plan_conversion
from mf_core.errors import FileMissingError, IntegrityError, UnsupportedError, WeightsError

from .published_layouts import SIZES, PublishedReference, make_tensors, save_file, save_release

SETTINGS = [part for name, value in SIZES.items() for part in ("--set", f"{name}={value}")]
IDS = np.random.default_rng(1).integers(0, SIZES["vocab_size"], (2, 11))


def mf(*arguments, cwd):
    command = [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ})


def plan(source, **options):
    return plan_conversion(source, "pangualpha_2_6b", overrides={**SIZES, **options.pop("overrides", {})}, **options)


@pytest.fixture(scope="module")
def tensors():
    return make_tensors()


@pytest.fixture(scope="module")
def logits(tensors):
    return PublishedReference(PanguAlphaConfig(**SIZES), tensors)(IDS)[0]


def check_logits(folder, logits, tolerance=2e-4):
    found = AutoModel.from_pretrained(folder)(ms.Tensor(IDS, ms.int32)).asnumpy()
    assert np.abs(logits).max() > 1
    np.testing.assert_allclose(found, logits, atol=tolerance * np.abs(logits).max())


# The same model ------------------------------------------------------------------------------------------------------


def test_mindformers_file_by_the_command(tmp_path, tensors, logits):
    state = {"backbone.blocks.0.key_past": np.zeros((1, 4, 8, 16), np.float16), "global_step": np.int32(3)}
    save_file(tmp_path / "pangualpha_2_6b.ckpt", {**tensors, **state})
    made = mf("convert", "pangualpha_2_6b.ckpt", "--model", "pangualpha_2_6b", *SETTINGS, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    first, second = made.stdout.splitlines()
    assert first.startswith("pangualpha_2_6b.ckpt: a MindSpore checkpoint in one file; ")
    assert first.endswith("weights in 53 tensors; 2 that are no weights are left out")
    assert second.startswith("pangualpha_2_6b: config.json, and weights in one file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pangualpha_2_6b", "pangualpha_2_6b.ckpt"]
    check_logits(tmp_path / "pangualpha_2_6b", logits)
    config = json.loads((tmp_path / "pangualpha_2_6b" / "config.json").read_text())
    assert (config["architectures"], config["dtype"], config["eos_token_id"]) == (["PanguAlphaHeadModel"], "float32", 9)


@pytest.mark.parametrize("devices", [(4, 2), (1, 4), (8, 1)])
def test_release_in_slices(tmp_path, tensors, logits, devices):
    found = plan(save_release(tmp_path / "release", tensors, *devices))
    assert found.description == f"Peng Cheng's release in {devices[0] * devices[1]} slices"
    assert found.ignored == 2
    found.write(tmp_path / "made")
    check_logits(tmp_path / "made", logits)


def test_release_in_folders_and_under_other_names(tmp_path, tensors, logits):
    folder = save_release(tmp_path / "release", tensors)
    for path in list(folder.iterdir()):
        if path.suffix == ".npy":
            path.rename(folder / f"2.6B_{path.name}")
        elif path.name.startswith("filerted"):
            (folder / "parts" / path.stem).mkdir(parents=True)
            path.rename(folder / "parts" / path.stem / path.name.replace("filerted", "filtered"))
    plan(folder).write(tmp_path / "made")
    check_logits(tmp_path / "made", logits)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("backbone.embedding.", "backbone."),  # Peng Cheng's single file for GPUs
        lambda name: {  # as MindFormers' own conversion of the release leaves them
            "backbone.embedding.word_embedding.embedding_table": "word_embedding_table",
            "backbone.embedding.position_embedding.embedding_table": "position_embedding_table",
            "backbone.top_query_embedding.embedding_table": "query_embedding_table",
        }.get(name, name),
    ],
)
def test_embeddings_go_by_three_names(tmp_path, tensors, logits, rename):
    source = save_file(tmp_path / "model.ckpt", {rename(name): value for name, value in tensors.items()})
    plan(source).write(tmp_path / "made")
    check_logits(tmp_path / "made", logits)


@pytest.mark.parametrize("stored, asked", [("float16", None), ("float32", "float16"), ("float16", "float32")])
def test_types(tmp_path, tensors, logits, stored, asked):
    source = save_file(tmp_path / "model.ckpt", {name: value.astype(stored) for name, value in tensors.items()})
    plan(source, dtype=asked).write(tmp_path / "made", shard_size=20_000)
    files = sorted((tmp_path / "made").glob("*.safetensors"))
    assert len(files) > 2
    assert {array.dtype.name for file in files for array in load_file(file).values()} == {asked or stored}
    assert json.loads((tmp_path / "made" / "config.json").read_text())["dtype"] == (asked or stored)
    check_logits(tmp_path / "made", logits, tolerance=2e-2)


# What is wrong -------------------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off(tmp_path, tensors):
    source = save_file(tmp_path / "model.ckpt", tensors)
    source.write_bytes(source.read_bytes()[:-100])
    made = mf("convert", "model.ckpt", "--model", "pangualpha_2_6b", *SETTINGS, "--output", "made", cwd=tmp_path)
    assert made.returncode == 2
    assert "model.ckpt is cut off" in made.stderr
    assert "the tensor 'backbone.top_query_embedding.embedding_table' is cut off" in made.stderr
    assert not (tmp_path / "made").exists()


def test_a_file_that_goes_away_half_way(tmp_path, tensors):
    source = save_file(tmp_path / "model.ckpt", tensors)
    found = plan(source)
    os.truncate(source, source.stat().st_size // 2)
    with pytest.raises(IntegrityError, match=r"model\.ckpt became shorter while it was read"):
        found.write(tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"backbone.blocks.1.output.mapping.bias": None}, WeightsError, "1 missing, such as 'backbone.blocks.1.mlp."),
        ({"backbone.blocks.0.attention.dense9.weight": np.ones(3)}, WeightsError, "dense9.weight' in model.ckpt is no"),
        ({"transformer.wte.weight": np.ones(3)}, WeightsError, "'transformer.wte.weight' in model.ckpt is no tensor"),
        ({"backbone.layernorm.gamma": np.ones(31)}, WeightsError, "'backbone.layernorm.gamma' in model.ckpt makes"),
        ({"backbone.top_query_embedding.embedding_table": np.ones((9, 32))}, WeightsError, "the model wants (16, 32)"),
        ({"word_embedding_table": np.ones((50, 32))}, WeightsError, "'word_embedding_table' in model.ckpt and"),
        ({"backbone.blocks.0.output.ffn.mapping.weight": np.ones(3)}, UnsupportedError, "a mixture of experts"),
        ({"backbone.layernorm.gamma": np.ones(32, np.int32)}, WeightsError, "'backbone.layernorm.gamma' in model.ckpt"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, tensors, change, error, words):
    changed = {name: value for name, value in {**tensors, **change}.items() if value is not None}
    source = save_file(tmp_path / "model.ckpt", {
        name: value if value.dtype == np.int32 else value.astype(np.float32) for name, value in changed.items()
    })  # fmt: skip
    with pytest.raises(error) as caught:
        plan(source)
    assert words in str(caught.value)


def test_sizes_that_are_not_the_presets(tmp_path, tensors):
    source = save_file(tmp_path / "model.ckpt", tensors)
    with pytest.raises(WeightsError, match="is of another model than 'pangualpha_2_6b'") as caught:
        plan_conversion(source, "pangualpha_2_6b", overrides={"vocab_size": 50, "hidden_size": 32, "num_heads": 4})
    assert caught.value.value == {"seq_length": 16, "ffn_hidden_size": 64, "num_layers": 3}
    assert "num_layers=3" in caught.value.hint


def test_a_release_that_lacks_a_file(tmp_path, tensors):
    folder = save_release(tmp_path / "release", tensors)
    for name, words in {
        "filerted_5.ckpt": "has no filerted_5.ckpt, which holds a slice of 'backbone.blocks.0.attention.projection.we",
        "filerted_7.ckpt": "has no filerted_7.ckpt, which holds a slice of",
        "pangu_alpha_ckpt_strategy.ckpt": "has no strategy file",
        "word_embedding.npy": "has no word_embedding.npy",
        "top_query_embedding.npy": "has no top_query_embedding.npy",
    }.items():
        (folder / name).rename(tmp_path / "away")
        with pytest.raises(FileMissingError) as caught:
            plan(folder)
        assert words in caught.value.what
        (tmp_path / "away").rename(folder / name)
    plan(folder)


def test_a_release_with_a_damaged_file(tmp_path, tensors):
    folder = save_release(tmp_path / "release", tensors)
    sizes = {"filerted_3.ckpt": 3000, "word_embedding.npy": 1000, "pangu_alpha_ckpt_strategy.ckpt": 100}
    for name, size in sizes.items():
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:size])
        with pytest.raises(IntegrityError, match=name):
            plan(folder)
        (folder / name).write_bytes(whole)
    np.save(folder / "word_embedding.npy", np.ones((50, 31), np.float32))
    with pytest.raises(WeightsError, match="hidden_size 31 and not 32"):
        plan(folder)
    np.save(folder / "2.6B_word_embedding.npy", np.ones((50, 32), np.float32))
    with pytest.raises(WeightsError, match=r"has both 2\.6B_word_embedding\.npy and word_embedding\.npy"):
        plan(folder)


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"PK\x03\x04")
    for source in (tmp_path / "model.ckpt", tmp_path):
        with pytest.raises(UnsupportedError, match="in no layout that mf-pangualpha converts") as caught:
            plan(source)
        assert "filerted_0.ckpt" in caught.value.hint


# Memory --------------------------------------------------------------------------------------------------------------

#: Converts, and prints the most memory that the process had, in bytes (its ``ru_maxrss`` would begin with our own).
MEASURE = """
import re, sys
from mf_core.conversion import plan_conversion
source, output, dtype, *sizes = sys.argv[1:]
overrides = {name: int(value) for name, _, value in (size.partition("=") for size in sizes)}
plan_conversion(source, "pangualpha_2_6b", dtype=dtype, overrides=overrides).write(output, shard_size=100_000_000)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


def write_large(path, sizes):
    """Write a file in MindFormers' layout tensor by tensor; return the bytes of the largest one."""
    largest = 0
    with path.open("wb") as file:
        for name, value in make_tensors(**{**sizes, "num_layers": 2}).items():
            layers = range(sizes["num_layers"] - 1) if ".blocks.0." in name else [0]
            for layer in layers:
                message = Checkpoint()
                item = message.value.add()
                item.tag, item.tensor.tensor_type = name.replace(".blocks.0.", f".blocks.{layer}."), "Float32"
                item.tensor.dims.extend(value.shape)
                item.tensor.tensor_content = value.tobytes()
                file.write(message.SerializeToString())
            largest = max(largest, value.nbytes)
    return largest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_is_that_of_the_largest_tensor_and_not_of_the_file(tmp_path):
    """With 2.6 B parameters the largest tensor is 410 MB of 10.5 GB: that bound is 1 GB beside MindSpore's 0.5 GB."""
    large = {**SIZES, "vocab_size": 24000, "hidden_size": 512, "ffn_hidden_size": 2048, "num_layers": 32}
    peaks = []
    for name, sizes in (("small", SIZES), ("large", large)):
        source = tmp_path / f"{name}.ckpt"
        largest = write_large(source, sizes)
        arguments = [source, tmp_path / name, "float16", *(f"{key}={value}" for key, value in sizes.items())]
        result = subprocess.run([sys.executable, "-c", MEASURE, *map(str, arguments)], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        peaks.append(int(result.stdout))
    assert source.stat().st_size > 9 * largest
    assert peaks[1] - peaks[0] < 2.5 * largest
