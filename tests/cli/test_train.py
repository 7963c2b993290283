"""``mf train``, in separate processes."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from ..support.docs_runner import write_one_layer
from ..support.training import write_jsonl


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a small model under the name of a shipped one."""
    folder = tmp_path_factory.mktemp("models")
    write_one_layer(folder)
    return folder


def mf(*arguments, cwd, **environment):
    command = [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def stories(folder, count=40):
    return write_jsonl(folder / "stories.jsonl", [{"text": f"Once there was a fox, number {n}."} for n in range(count)])


def test_a_run_from_a_file_and_again_from_what_it_wrote(tmp_path, models):
    stories(tmp_path)
    options = {"cwd": tmp_path, "MF_MODELS": str(models)}
    (tmp_path / "run.yaml").write_text(
        "model: gpt2_tiny\ntrain_dataset: stories.jsonl\neval_dataset: stories.jsonl\nmax_seq_length: 32\n"
        "batch_size: 4\nmax_steps: 6\nlogging_steps: 2\ndo_eval: true\neval_steps: 3\nsave_steps: 3\n"
        "save_config: true\noutput_dir: first\nlearning_rate: 1e-4\n"
    )
    first = mf("train", "--config", "run.yaml", "--set", "learning_rate=2e-4", **options)
    assert first.returncode == 0, first.stderr
    assert "6 steps" in first.stdout and "the model is in first" in first.stdout and "perplexity" in first.stdout
    written = yaml.safe_load((tmp_path / "first" / "run.yaml").read_text())
    assert (written["learning_rate"], written["model"], written["task"]) == (2e-4, "gpt2_tiny", "text_generation")
    again = mf("train", "--config", "first/run.yaml", "--set", "output_dir=second", **options)
    assert again.returncode == 0, again.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "run.yaml", "second", "stories.jsonl"]


def test_resume(tmp_path, models):
    stories(tmp_path)
    settings = ["model=gpt2_tiny", "train_dataset=stories.jsonl", "max_seq_length=32", "batch_size=4", "output_dir=out",
                "save_steps=2", "lr_scheduler_type=constant"]  # fmt: skip
    options = {"cwd": tmp_path, "MF_MODELS": str(models)}
    chosen = [part for setting in settings for part in ("--set", setting)]
    assert mf("train", *chosen, "--set", "max_steps=2", **options).returncode == 0
    resumed = mf("train", *chosen, "--set", "max_steps=4", "--resume", **options)
    assert resumed.returncode == 0, resumed.stderr
    assert "4 steps" in resumed.stdout
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == 4


def test_mistakes_are_reported_before_anything_heavy_is_loaded(tmp_path):
    cases = {
        ("--set", "learning_rat=1"): "a run has no setting 'learning_rat'",
        ("--set", "modle=gpt2"): "did you mean 'model'",
        ("--set", "learning_rate"): "is not NAME=VALUE",
        ("--set", "learning_rate=-1"): "learning_rate=-1",
        ("--config", "nowhere.yaml"): "there is no run file 'nowhere.yaml'",
        (): "nothing is said about the run",
        ("--set", "max_steps=1"): "names no model",
    }
    for arguments, message in cases.items():
        result = mf("train", *arguments, cwd=tmp_path)
        assert result.returncode == 2 and message in result.stderr, (arguments, result.stderr)
        assert "Traceback" not in result.stderr
