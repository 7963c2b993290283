"""Training that is killed at chosen system calls of its checkpoints, and resumed, again and again, in one chain.

``python -m tests.support.killed_trainings FOLDER KILLS SEED`` prints the counts as JSON. Every life of the run is a
fork, made before MindSpore's runtime is used. After each kill the newest checkpoint is whole and no older than before;
at the end, the run has the weights and the losses of one that was never killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mf_core.checkpoint.verify import check_files
from mf_core.trainer.checkpoints.state_file import read_checkpoint
from mf_core.trainer.checkpoints.store import checkpoints, last_checkpoint

from .strace import STEPS, WRITES, fork, inject, pause, wait
from .training import counting_rows, make_trainer, small_model

#: Most calls of each kind that one save, which is a thread, is known to make.
_MOST = {"rename": 8, "fsync": 10, "unlink": 2, "unlinkat": 8, "rmdir": 2, "mkdir": 3, "openat": 40, "write": 20}
#: The exit code of a process that went on for some steps without being killed.
NOT_REACHED = 3
#: What the losses are recorded beside: other figures of a log line depend on the time.
_FIGURES = ("step", "loss", "epoch", "learning_rate", "grad_norm")


def train(folder: Path, steps: int, armed_at: int | None) -> None:
    """Train, from the last checkpoint if there is one; pause for strace after the step ``armed_at``."""

    class Arm:
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == armed_at:
                pause()
            if armed_at is not None and state.global_step == armed_at + 4:
                os._exit(NOT_REACHED)

    model = small_model(hidden_size=16, num_layers=1, hidden_dropout_rate=0.1)
    resumes = (folder / "out").is_dir() and last_checkpoint(folder / "out") is not None
    signal.alarm(300)  # no process is left behind should its parent end
    make_trainer(
        folder, model=model, dataset=counting_rows(44), batch_size=4, max_steps=steps, save_strategy="steps",
        save_steps=1, save_total_limit=3, lr_scheduler_type="constant", options={"callbacks": Arm()},
    ).train(resume_training=resumes)  # fmt: skip


def result(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """Return a finished run's weights and log lines."""
    state = json.loads((folder / "out" / "trainer_state.json").read_text())
    assert state["finished"]
    lines = [{name: line.get(name) for name in _FIGURES} for line in state["log_history"]]
    return (folder / "out" / "model.safetensors").read_bytes(), lines


def run(root: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill a run so many times and compare its result with that of a run that goes on to its end."""
    draw, tally = random.Random(seed), Counter[str]()
    step, lives, begin = 0, 0, time.monotonic()
    folder, whole = root / "killed", root / "whole"
    folder.mkdir(exist_ok=True)
    whole.mkdir(exist_ok=True)
    step = int(last_checkpoint(folder / "out").name[11:]) if (folder / "out").exists() else 0
    while tally["killed"] < kills:
        lives += 1
        assert lives < 3 * kills + 10, tally
        call = draw.choice((*STEPS, *WRITES))
        number = draw.randint(1, _MOST[call])
        armed_at = step + draw.randint(0, 1)
        child = fork(lambda: train(folder, step + 1000, armed_at))  # noqa: B023
        code = wait(child, inject(child, call, number))
        assert code in (-signal.SIGKILL, NOT_REACHED), (code, call, number)
        tally["killed" if code < 0 else "ended by itself at once"] += 1
        print(f"{time.monotonic() - begin:.0f} s", call, number, code, dict(tally), file=sys.stderr, flush=True)
        last = last_checkpoint(folder / "out")
        if last is None:
            assert step == 0
            continue
        found = read_checkpoint(last).global_step
        assert found >= step, (found, step)
        tally["went on" if found > step else "same step"] += 1
        step = found
        for path in checkpoints(folder / "out"):
            read_checkpoint(path)
            assert {check.status for check in check_files(path)} == {"whole"}, path
            tally["whole checkpoints"] += 1
    steps = step + 2
    for where in (folder, whole):
        child = fork(lambda: train(where, steps, None))  # noqa: B023
        code = wait(child)
        assert code == 0, code
    first, second = result(folder), result(whole)
    assert first[1] == second[1]
    assert first[0] == second[0]
    names = {path.name for path in (folder / "out").iterdir() if path.name[0] == "."}
    assert names <= {".mf-run.lock"}, names
    return {**tally, "steps": steps}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
