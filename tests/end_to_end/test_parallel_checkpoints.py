"""Checkpoints of clusters: written together, read by other clusters, and what a process that dies leaves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mf_core.checkpoint.consolidate import whole_tensors
from mf_core.checkpoint.sharded import Index

from ..support.clusters import run_scenarios

pytestmark = pytest.mark.slow

LAYERS = {"num_layers": 2}  # for pipelines
STEPS = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2}
GRID = {"data_parallel": 2, "model_parallel": 2, "optimizer_shard": True}


def tensors(folder, kind="weights"):
    return {tensor.name: tensor.read() for tensor in whole_tensors(folder, kind)}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def interrupted(source: Path, target: Path, step: int) -> None:
    """Make of a run's folder what it was when the checkpoint of a step had just been written."""
    target.mkdir(parents=True)
    shutil.copytree(source / f"checkpoint-{step}", target / f"checkpoint-{step}")


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """What a cluster of four wrote, whole and in pieces."""
    folder = tmp_path_factory.mktemp("four")
    results, _ = run_scenarios(folder, 4, [
        {"name": "whole", "model": LAYERS, "parallel": GRID, "args": STEPS},
        {
            "name": "pieces", "model": LAYERS, "parallel": GRID,
            "args": {**STEPS, "integrated_save": False, "save_total_limit": 2},
        },
        {"name": "strategy", "model": LAYERS, "parallel": GRID, "args": {**STEPS, "only_save_strategy": True}},
    ])  # fmt: skip
    return folder, results


def test_whole_checkpoints_are_those_of_one_process(four):
    folder, _ = four
    assert sorted(p.name for p in (folder / "whole").glob("*checkpoint*")) == [
        "checkpoint-2", "checkpoint-4", "checkpoint-6"
    ]  # fmt: skip
    newest = folder / "whole" / "checkpoint-6"
    assert {p.name for p in newest.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json"
    }  # fmt: skip
    assert_same(load_file(newest / "model.safetensors"), load_file(folder / "whole" / "model.safetensors"))
    assert json.loads((newest / "config.json").read_text())["architectures"] == ["GPT2LMHeadModel"]


def test_pieces_make_the_same_whole(four):
    folder, _ = four
    pieces, whole = folder / "pieces" / "checkpoint-6", folder / "whole" / "checkpoint-6"
    assert sorted(p.name for p in (folder / "pieces").glob("*checkpoint*")) == ["checkpoint-4", "checkpoint-6"]
    assert len(list((pieces / "shards").glob("*.optimizer.safetensors"))) == 4
    assert not (pieces / "model.safetensors").exists()
    for kind in ("weights", "optimizer"):
        assert_same(tensors(pieces, kind), tensors(whole, kind))


def test_the_strategy_alone(four):
    folder, results = four
    index = Index.read(folder / "strategy" / "strategy")
    assert (index.layout.data, index.layout.tensor, index.layout.pipeline) == (2, 2, 1)
    assert index.weights["transformer.h.0.attn.c_attn.weight"].split.fused == 3
    assert index.optimizer["optimizer.first.transformer.wte.weight"].flat
    assert results["strategy"]["losses"] == []
    assert not list((folder / "strategy").glob("checkpoint-*"))


def test_a_run_continues_in_other_grids(four, tmp_path):
    """In one process, and in a pipeline of two: the weights match their digests, the losses continue."""
    folder, results = four
    expected = results["whole"]["losses"]
    resume = {"resume_training": True, "auto_trans_ckpt": True}
    runs = [
        {"name": "pieces", "args": STEPS, "call": resume},
        {"name": "whole", "args": STEPS, "call": resume},
        {"name": "refused", "args": STEPS, "call": {"resume_training": True}, "error": True},
    ]  # fmt: skip
    for size, parallel in ((1, {}), (2, {"pipeline_stage": 2, "micro_batch_num": 2, "model_parallel": 1})):
        here = tmp_path / str(size)
        for name, source in (("pieces", "pieces"), ("whole", "whole"), ("refused", "pieces")):
            interrupted(folder / source, here / name, 4)
        got, _ = run_scenarios(here, size, [{**run, "model": LAYERS, "parallel": parallel} for run in runs])
        for name in ("pieces", "whole"):
            assert got[name]["losses"] == pytest.approx(expected, abs=1e-5)
            after = tensors(here / name / "checkpoint-6")
            for key, array in tensors(folder / "whole" / "checkpoint-6").items():
                np.testing.assert_allclose(after[key], array, atol=2e-5, err_msg=key)
        told = got["refused"]["error"]
        assert "written by 4 processes: data_parallel=2, model_parallel=2" in told
        assert "auto_trans_ckpt=True" in told


def test_loading_changes_no_bit(four, tmp_path):
    """4 -> 1 -> 4 -> 1, with steps at a rate of 0: what comes out is what went in."""
    folder, _ = four
    still = {**STEPS, "learning_rate": 0.0, "weight_decay": 0.0, "max_steps": 5, "save_strategy": "no"}
    resume = {"resume_training": True, "auto_trans_ckpt": True}
    first, second = tmp_path / "one", tmp_path / "four"
    interrupted(folder / "pieces", first / "run", 4)
    run_scenarios(first, 1, [{"name": "run", "model": LAYERS, "args": still, "call": resume}])
    before = tensors(folder / "pieces" / "checkpoint-4")
    assert_same(load_file(first / "run" / "model.safetensors"), before)
    interrupted(folder / "pieces", second / "run", 4)
    other = {"model_parallel": 2, "pipeline_stage": 2, "micro_batch_num": 2}
    run_scenarios(second, 4, [{"name": "run", "model": LAYERS, "args": still, "call": resume, "parallel": other}])
    assert_same(load_file(second / "run" / "model.safetensors"), before)


def test_a_worker_that_dies_ends_the_job_and_the_next_resumes_exactly(tmp_path):
    grid = {"data_parallel": 2, "optimizer_shard": True}
    base = {"name": "run", "parallel": grid, "args": STEPS}
    run_scenarios(tmp_path / "calm", 2, [base])
    _, done = run_scenarios(tmp_path / "killed", 2, [{**base, "kill": [1, 5]}], code=128 + 9)
    told = done.stdout + done.stderr
    assert "worker 1" in told
    assert "SIGKILL" in told
    left = tmp_path / "killed" / "run"
    assert (left / "checkpoint-4" / "trainer_state.json").is_file()
    assert not (left / "checkpoint-6").exists()
    got, _ = run_scenarios(tmp_path / "killed", 2, [{**base, "call": {"resume_training": True}}])
    assert len(got["run"]["losses"]) == 6
    calm = tmp_path / "calm" / "run"
    for name in ("model.safetensors", "checkpoint-6/optimizer.safetensors"):
        assert (left / name).read_bytes() == (calm / name).read_bytes(), name
