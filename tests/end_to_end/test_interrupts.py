"""Ctrl-C where users press it: at a cluster in training, in a conversation on a terminal, in a notebook."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: The command of the environment that the tests run in.
MF = str(Path(sys.executable).with_name("mf"))

TRAIN = """
from pathlib import Path
from mf_core import Trainer, TrainingArguments, init_context

rank, _ = init_context(use_parallel=True)

class Note:
    def on_step_end(self, args, state, control, **_):
        Path(f"step.{rank}").touch()

args = TrainingArguments(output_dir="out", batch_size=2, max_steps=100000, logging_steps=10000, save_steps=100000)
rows = ["Once upon a time there was a little girl who liked to play." * 3] * 50
trainer = Trainer(args, task="text_generation", model="gpt2_tiny", train_dataset=rows, callbacks=[Note()])
try:
    trainer.train()
except KeyboardInterrupt:
    Path(f"interrupted.{rank}").write_text(str(trainer.state.global_step))
    raise
"""


def wait_for(condition, process=None, seconds=400):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        assert process is None or process.poll() is None, process.returncode
        time.sleep(0.2)


def test_every_worker_of_a_cluster_raises_and_nothing_stays(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    command = [MF, "launch", "--workers", "2", "train.py"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("step.*"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(200) == 130
    steps = {path.name: path.read_text() for path in tmp_path.glob("interrupted.*")}
    assert set(steps) == {"interrupted.0", "interrupted.1"}
    assert len(set(steps.values())) == 1
    assert (tmp_path / "out" / f"checkpoint-{steps['interrupted.0']}" / "model.safetensors").is_file()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
