"""``mf ckpt``: as a user runs it."""

import json

import numpy as np
import pytest

from mf_core.checkpoint.reshard import split
from mf_core.cli import main
from mf_core.parallel import Layout

from ..cli.test_cli import mf
from ..support.plugin_environment import HEALTHY
from ..support.sharded import STATE, assert_same, checkpoint, gpt2, piece, tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("whole"), gpt2())


@pytest.fixture
def sharded(whole, tmp_path):
    split(whole, tmp_path / "sharded", Layout(2, 2), True, True)
    return tmp_path / "sharded"


def test_split_and_merge(whole, tmp_path):
    options = ("--data-parallel", "2", "--model-parallel", "2", "--pipeline-stage", "2", "--optimizer-shard")
    code, out, err = mf("ckpt", "split", whole, tmp_path / "sharded", *options, "--no-vocab-emb-dp")
    assert (code, "Traceback" in err) == (0, False)
    assert f"{tmp_path / 'sharded'}: pieces for 8 processes, " in out
    assert piece(tmp_path / "sharded", 0, "transformer.wte.weight").shape == (29, 18)
    bias = "optimizer.first.transformer.h.0.ln_1.bias"
    assert [piece(tmp_path / "sharded", rank, bias, ".optimizer") is None for rank in (0, 1, 2)] == [False, True, False]
    code, out, err = mf("ckpt", "merge", tmp_path / "sharded", tmp_path / "merged")
    assert (code, err) == (0, "")
    assert f"{tmp_path / 'merged'}: the whole form, weights in one file, " in out
    assert_same(tensors(tmp_path / "merged"), tensors(whole))
    assert json.loads((tmp_path / "merged/trainer_state.json").read_text()) == STATE


def test_split_has_the_defaults_of_training(whole, tmp_path):
    assert main(["ckpt", "split", str(whole), str(tmp_path / "sharded"), "--model-parallel=2"]) == 0
    assert piece(tmp_path / "sharded", 0, "transformer.wte.weight").shape == (58, 18)
    assert main(["ckpt", "split", str(whole), str(tmp_path / "copies"), "--data-parallel=4"]) == 0
    assert sorted(path.name for path in (tmp_path / "copies/shards").iterdir()) == [
        "rank-00000.optimizer.safetensors", "rank-00000.safetensors",
    ]  # fmt: skip


def test_inspect_of_a_sharded_checkpoint(sharded, whole, capsys):
    assert main(["ckpt", "inspect", str(sharded), "--tensors"]) == 0
    out = capsys.readouterr().out
    numbers = sum(array.size for array in tensors(whole)["model"].values())
    for words in (
        "sharded, of 4 processes", "data 2, tensor 2, pipeline 1, expert 1", f"{numbers:,} numbers in 52 tensors",
        "float32 and int32", "shards/rank-00003.optimizer.safetensors",
    ):  # fmt: skip
        assert words in out
    rows = [line.split() for line in out.splitlines()]
    assert ["step", "7"] in rows
    assert ["complete", "yes"] in rows
    assert ["transformer.h.0.attn.c_attn.weight", "float32", "18x54", "axis", "1", "in", "2,", "3", "fused"] in rows
    size = f"{(sharded / 'shards/rank-00001.safetensors').stat().st_size:,}"
    assert ["shards/rank-00001.safetensors", "1", "25", size, "B"] in rows


def test_inspect_as_json(sharded, whole, capsys):
    held = tensors(whole)
    for folder, layout in ((whole, None), (sharded, {"data": 2, "tensor": 2, "pipeline": 1, "expert": 1})):
        assert main(["ckpt", "inspect", str(folder), "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["model_type"], data["layout"], data["step"], data["complete"]) == ("gpt2", layout, 7, True)
        for kind, arrays in (("weights", held["model"]), ("optimizer", held["optimizer"])):
            assert data[kind]["tensors"] == len(arrays)
            assert data[kind]["numbers"] == sum(array.size for array in arrays.values())
            assert data[kind]["bytes"] == sum(array.nbytes for array in arrays.values())
        assert all((folder / file["file"]).stat().st_size == file["bytes"] for file in data["files"])
        assert "tensors" not in data
    assert main(["ckpt", "inspect", str(sharded), "--json", "--tensors"]) == 0
    listed = {tensor["name"]: tensor for tensor in json.loads(capsys.readouterr().out)["tensors"]}
    assert listed.keys() == held["model"].keys() | held["optimizer"].keys()
    assert listed["optimizer.updates"]["shape"] == []


def test_inspect_of_a_model(tmp_path, capsys):
    gpt2().save_pretrained(tmp_path, shard_size=6000)
    assert main(["ckpt", "inspect", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["optimizer", "none"] in rows
    assert ["form", "whole"] in rows
    assert not [row for row in rows if row[:1] == ["step"]]
    assert len([row for row in rows if row and row[0].startswith("model-0")]) > 3


def test_inspect_says_all_that_is_missing_or_broken(sharded, capsys):
    (sharded / "shards/rank-00001.safetensors").unlink()
    path = sharded / "shards/rank-00002.optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (sharded / "config.json").write_text("{")
    assert main(["ckpt", "inspect", str(sharded)]) == 1
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["complete", "no"] in rows
    assert ["shards/rank-00001.safetensors", "1", "missing", "or", "broken", "0", "B"] in rows
    faults = [line for line in out.splitlines() if line.startswith("fault: ")]
    assert len(faults) == 3
    for fault, words in zip(faults, ("config.json", "rank-00001.safetensors is missing", "rank-00002"), strict=True):
        assert words in fault
    assert main(["ckpt", "inspect", str(sharded), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 3


def test_inspect_of_a_broken_model(whole, tmp_path, capsys):
    for name in ("config.json", "model.safetensors", "optimizer.safetensors"):
        (tmp_path / name).write_bytes((whole / name).read_bytes()[: -1 if name.startswith("model") else None])
    assert main(["ckpt", "inspect", str(tmp_path)]) == 1
    assert "fault: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["merge", "{whole}", "{out}"], ["MF202", "no checkpoint in the sharded form", "mf ckpt split"]),
        (["merge", "{out}", "{out}x"], ["MF301", "there is no such folder"]),
        (["inspect", "{out}"], ["MF301", "there is no such folder"]),
        (["split", "{whole}", "{whole}"], ["MF202", "is the checkpoint itself"]),
        (["split", "{whole}", "{sharded}"], ["MF202", "already", "--overwrite"]),
        (["split", "{whole}", "{out}", "--model-parallel=4"], ["MF202", "2 attention heads", "model_parallel=4"]),
        (["split", "{whole}", "{out}", "--pipeline-stage=0"], ["MF202", "pipeline_stage"]),
        (["split", "{whole}", "{out}", "--data-parallel=2", "--expert-parallel=4"], ["MF202", "expert_parallel=4"]),
    ],
)
def test_a_users_mistake(arguments, words, whole, sharded, tmp_path, capsys):
    given = [text.format(whole=whole, sharded=sharded, out=tmp_path / "out") for text in arguments]
    assert main(["ckpt", *given]) == 2
    out, err = capsys.readouterr()
    assert (out, err[:4]) == ("", "mf: ")
    for word in words:
        assert word in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sharded"]


def test_overwrite(whole, sharded, tmp_path, capsys):
    assert main(["ckpt", "split", str(whole), str(sharded), "--overwrite"]) == 0
    assert sorted(path.name for path in (sharded / "shards").iterdir()) == [
        "rank-00000.optimizer.safetensors", "rank-00000.safetensors",
    ]  # fmt: skip
    assert "pieces for one process" in capsys.readouterr().out
    assert main(["ckpt", "merge", str(sharded), str(tmp_path / "merged")]) == 0
    assert main(["ckpt", "merge", str(sharded), str(tmp_path / "merged")]) == 2
    assert main(["ckpt", "merge", str(sharded), str(tmp_path / "merged"), "--overwrite"]) == 0
    np.testing.assert_equal(tensors(tmp_path / "merged"), tensors(whole))


def test_merge_and_inspect_need_no_mindspore_and_no_plugin(sharded, environment):
    made = environment(HEALTHY)
    code = f"""
        import sys
        from mf_core.cli import main
        assert main(["ckpt", "inspect", {str(sharded)!r}]) == 0
        assert main(["ckpt", "merge", {str(sharded)!r}, "merged"]) == 0
        assert not {{"mindspore", "mf_healthy"}} & sys.modules.keys()
    """
    result = made.run(code)
    assert result.code == 0, result.stderr
