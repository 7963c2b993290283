"""Checkpoints: whole or not there, whatever is killed; runs that go on exactly where they stopped."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mf_core import AutoModel
from mf_core.errors import ArgumentError, CheckpointError, FileMissingError, IntegrityError
from mf_core.trainer.checkpoints.store import CheckpointStore, checkpoints, last_checkpoint
from mf_core.utils.locks import RunLock

from ...support import training
from ...support.training import assert_equal_weights, counting_rows, weights_of

ROOT = Path(__file__).parents[3]


def small_model(**changes):
    """A model of one layer: nothing here depends on how many there are."""
    return training.small_model(**{"num_layers": 1, **changes})


def make_trainer(folder, model=None, **changes):
    return training.make_trainer(folder, model=model or small_model(), **changes)


#: A run in a separate process: dropout, two batches a step, passes that end in mid-run.
CHILD = """
import os, signal, sys
from pathlib import Path
from tests.support.training import make_trainer, small_model, counting_rows

folder, kill_at, how, resume = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "resume"

class Kill:
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == kill_at:
            os.kill(os.getpid(), getattr(signal, how))

trainer = make_trainer(
    folder, model=small_model(hidden_dropout_rate=0.1, attention_dropout_rate=0.1), dataset=counting_rows(44),
    batch_size=4, gradient_accumulation_steps=2, max_steps=14, logging_steps=3, save_strategy="steps", save_steps=2,
    save_total_limit=3, warmup_steps=4, options={"callbacks": Kill()},
)
trainer.train(resume_training=resume)
print("finished", flush=True)
"""


def child(folder, kill_at=0, how="SIGKILL", resume=False, **options):
    command = [sys.executable, "-c", CHILD, str(folder), str(kill_at), how, "resume" if resume else "new"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, **options)


RUN = 32 * "a"


def step_of(folder):
    return json.loads((folder / "trainer_state.json").read_text())["step"]


def tensors(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def history(folder):
    state = json.loads((folder / "trainer_state.json").read_text())
    timing = ("seconds", "tokens_per_second", "flops_utilization", "memory_bytes")
    return [{key: value for key, value in entry.items() if key not in timing} for entry in state["log_history"]]


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unstopped")
    result = child(folder)
    assert result.returncode == 0, result.stderr
    return folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 5, 6, 11])  # before any checkpoint; in a pass; at the end of one; in the next
def test_a_killed_run_resumes_bit_for_bit(tmp_path, unstopped, kill_at):
    killed = child(tmp_path, kill_at)
    assert killed.returncode == -signal.SIGKILL
    resumed = child(tmp_path, resume=True)
    assert resumed.returncode == 0, resumed.stderr
    assert ("has no checkpoint yet" in resumed.stderr) == (kill_at == 1)
    assert_equal_weights(tensors(unstopped), tensors(tmp_path / "out"))
    assert history(tmp_path / "out") == history(unstopped)
    lines = [json.loads(line)["step"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert lines == [3, 6, 9, 12, 14]
    assert len(checkpoints(tmp_path / "out")) == 3
    assert {path.name for path in (tmp_path / "out").glob(".*")} <= {".mf-run.lock"}
    optimizers = [folder / "checkpoint-14" / "optimizer.safetensors" for folder in (unstopped, tmp_path / "out")]
    assert optimizers[0].read_bytes() == optimizers[1].read_bytes()


@pytest.mark.slow
def test_sigterm_saves_and_exits(tmp_path, unstopped):
    stopped = child(tmp_path, 5, "SIGTERM")
    assert stopped.returncode == 143, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "SIGTERM: stopped after step 5/14; checkpoint-5 is written" in stopped.stderr
    assert last_checkpoint(tmp_path / "out").name == "checkpoint-5"
    resumed = child(tmp_path, resume=True)
    assert resumed.returncode == 0, resumed.stderr
    assert_equal_weights(tensors(unstopped), tensors(tmp_path / "out"))
    assert history(tmp_path / "out") == history(unstopped)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from mf_core.checkpoint.shards import save_tensors
from mf_core.trainer.checkpoints.store import CheckpointStore, last_checkpoint

folder = Path(sys.argv[1])
last = last_checkpoint(folder)
step = 0 if last is None else int(last.name[11:])
store = CheckpointStore(folder, 2, 32 * "a")
print("ready", flush=True)
while True:
    step += 1
    array = np.full((200, 1000), step, np.float32)
    store.save(step, lambda aside, array=array: [save_tensors(aside / f"{n}.safetensors", {"x": array}) for n in "ab"],
               {"step": step})
    store.wait()
"""


@pytest.mark.slow
def test_kills_at_any_moment_leave_the_last_checkpoint_whole(tmp_path):
    """50 kills: each time the newest checkpoint is whole, is not older than before, and the next process goes on."""
    from safetensors.numpy import load_file

    moments = random.Random(4)
    step = 0
    for _ in range(50):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.12))
        process.kill()
        process.wait()
        process.stdout.close()
        last = last_checkpoint(tmp_path)
        if last is None:
            continue
        assert step_of(last) >= step
        step = step_of(last)
        for path in checkpoints(tmp_path):
            for name in "ab":
                array = load_file(path / f"{name}.safetensors")["x"]
                assert (array == step_of(path)).all()
    assert step > 10
    CheckpointStore(tmp_path, 2, RUN)  # what ended processes have left is removed
    assert all(path.name.startswith("checkpoint-") for path in tmp_path.iterdir())


def write_file(size):
    return lambda folder: (folder / "weights").write_bytes(bytes(size)) and None


def test_a_full_disk_is_a_clear_error_and_older_checkpoints_stay(tmp_path):
    store = CheckpointStore(tmp_path, None, RUN)
    store.save(1, write_file(1000), {"step": 1})
    store.wait()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # Python ignores the signal: the write fails
    try:
        store.save(2, write_file(10_000_000), {"step": 2})
        with pytest.raises(CheckpointError, match="the checkpoint of step 2 could not be written") as caught:
            store.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in caught.value.why
    assert "checkpoint-1" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    assert step_of(tmp_path / "checkpoint-1") == 1


def test_a_full_disk_ends_the_training(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=8, save_strategy="steps", save_steps=2)

    class Fill:
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 2:
                trainer_limit(20_000)

    def trainer_limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    trainer._callbacks.append(Fill())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            trainer.train()
    finally:
        trainer_limit(before)


def test_the_limit_keeps_the_newest_and_the_best(tmp_path):
    store = CheckpointStore(tmp_path, 2, RUN)
    for step in range(1, 6):
        store.save(step, write_file(10), {"step": step}, protected="checkpoint-2" if step >= 2 else None)
        store.wait()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-5"]


def test_checkpoints_of_another_run_are_neither_removed_nor_resumed_from(tmp_path):
    make_trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=2).train()
    settings = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "seed": 9}
    with pytest.raises(ArgumentError, match="holds a model of another run") as caught:
        make_trainer(tmp_path, overwrite_output_dir=False, **settings).train()
    assert "overwrite_output_dir=True" in caught.value.hint
    trainer = make_trainer(tmp_path, **settings)
    trainer.train()
    assert [path.name for path in checkpoints(tmp_path / "out")] == ["checkpoint-3", "checkpoint-4"]
    assert last_checkpoint(tmp_path / "out").name == "checkpoint-3"
    trainer.args.overwrite_output_dir = False
    trainer.train()  # its own result


def test_the_last_checkpoint_is_that_of_the_highest_step_whatever_the_files_times_are(tmp_path):
    store = CheckpointStore(tmp_path, None, RUN)
    for step in (9, 10, 100):
        store.save(step, write_file(1), {"step": step})
        store.wait()
    os.utime(tmp_path / "checkpoint-9" / "trainer_state.json", (2e9, 2e9))
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    assert last_checkpoint(tmp_path).name == "checkpoint-100"


def test_only_what_the_run_wrote_is_removed(tmp_path):
    """Folders with a checkpoint's name that another run wrote, that no run wrote, or that are elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    out = tmp_path / "out"
    CheckpointStore(elsewhere, None, RUN).save(2, write_file(1), {"step": 2})
    for name in ("checkpoint-1", "checkpoint-3"):
        (out / name).mkdir(parents=True)
        (out / name / "trainer_state.json").write_text(json.dumps({"run": 32 * "b"} if name[-1] == "1" else {}))
    while not (elsewhere / "checkpoint-2").exists():
        time.sleep(0.01)
    (out / "checkpoint-2").symlink_to(elsewhere / "checkpoint-2")
    store = CheckpointStore(out, 1, RUN)
    assert store.own == []
    store.own = ["checkpoint-1", "checkpoint-2", "checkpoint-3", "checkpoint-99"]
    for step in (4, 5):
        store.save(step, write_file(1), {"step": step})
        store.wait()
    names = {"checkpoint-1", "checkpoint-2", "checkpoint-3", "checkpoint-5"}
    assert {path.name for path in out.iterdir()} == names
    assert (elsewhere / "checkpoint-2" / "weights").exists()


def test_what_is_no_checkpoint_of_a_run_is_not_replaced(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "mine").touch()
    store = CheckpointStore(tmp_path, 2, RUN)
    store.save(1, write_file(1), {"step": 1})
    with pytest.raises(CheckpointError, match="could not be written") as caught:
        store.wait()
    assert "is not a checkpoint of a run" in caught.value.why
    assert [path.name for path in (tmp_path / "checkpoint-1").iterdir()] == ["mine"]


@pytest.mark.parametrize("strategy", ["epoch", "seconds", "no"])
def test_when_checkpoints_are_written(tmp_path, strategy):
    settings = {"save_seconds": 1} if strategy == "seconds" else {}

    class Slow:
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step in (3, 4):
                time.sleep(1.05)

    make_trainer(
        tmp_path, batch_size=16, max_steps=10, save_strategy=strategy, options={"callbacks": Slow()}, **settings
    ).train()
    names = [path.name for path in checkpoints(tmp_path / "out")]
    expected = {"epoch": ["checkpoint-4", "checkpoint-8", "checkpoint-10"], "no": []}
    if strategy == "seconds":
        assert {"checkpoint-4", "checkpoint-5", "checkpoint-10"} <= set(names)
    else:
        assert names == expected[strategy]


def test_a_checkpoint_is_a_model_too(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=2)
    trainer.train()
    saved = AutoModel.from_pretrained(tmp_path / "out" / "checkpoint-4")
    assert_equal_weights(weights_of(saved), weights_of(trainer.model))
    other = make_trainer(tmp_path, model=small_model(), max_steps=1, learning_rate=0.0)
    other.train(train_checkpoint=tmp_path / "out" / "checkpoint-2")
    earlier = AutoModel.from_pretrained(tmp_path / "out" / "checkpoint-2")
    assert_equal_weights(weights_of(other.model), weights_of(earlier))


def test_what_cannot_be_resumed(tmp_path):
    make_trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=2).train()
    for name in ("optimizer.safetensors", "model.safetensors"):
        file = tmp_path / "out" / "checkpoint-4" / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:])
        with pytest.raises(IntegrityError, match=rf"checkpoint-4/{name} is damaged"):
            make_trainer(tmp_path, save_strategy="steps").train(resume_training=True)
        file.write_bytes(whole)
    with RunLock(tmp_path / "out"), pytest.raises(CheckpointError, match="another run writes to"):
        make_trainer(tmp_path, save_strategy="steps").train(resume_training=True)
    cases = [
        ({"batch_size": 4}, CheckpointError, "batch_size was 8, and is 4"),
        ({"data_seed": 5}, CheckpointError, "data_seed was 42, and is 5"),
        ({"optim": "sgd"}, CheckpointError, "which this run has not"),
    ]
    for changes, error, message in cases:
        with pytest.raises(error, match=message):
            make_trainer(tmp_path, save_strategy="steps", **changes).train(resume_training=True)
    with pytest.raises(CheckpointError, match="is not a checkpoint of a run"):
        make_trainer(tmp_path).train(resume_training=tmp_path / "nowhere")
    with pytest.raises(FileMissingError, match="there is no checkpoint in"):
        make_trainer(tmp_path / "empty").train(train_checkpoint=True)
    (tmp_path / "out" / "checkpoint-4" / "trainer_state.json").write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        make_trainer(tmp_path).train(resume_training=tmp_path / "out" / "checkpoint-4")


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_optimizer_of_the_users_own_is_resumed_too(tmp_path, wrapped):
    from mindspore import nn

    def run(name, stop=None, resume=None):
        class Stop:
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step == stop

        model = small_model()
        options = {"optimizers": nn.Adam(model.trainable_params(), learning_rate=1e-2), "callbacks": Stop()}
        if wrapped:
            options["wrapper"] = nn.TrainOneStepCell
        trainer = make_trainer(tmp_path / name, model=model, max_steps=8, save_strategy="steps", options=options)
        return trainer.train(resume_training=resume).losses, weights_of(model)

    whole, weights = run("whole")
    run("parts", stop=5)
    losses, resumed = run("parts", resume=True)
    assert losses == whole
    assert_equal_weights(weights, resumed)


@pytest.mark.parametrize("kind", ["stream", "own"])
def test_data_without_positions_is_resumed_too(tmp_path, kind):
    """A stream that draws from numpy's generator, and a dataset of MindSpore's that shuffles and batches itself."""

    class Stream:
        def __iter__(self):
            while True:
                start = np.random.randint(50)
                yield ((start + np.arange(17)) % 50).astype(np.int32)

    def data():
        if kind == "stream":
            return Stream()
        from mindspore.dataset import NumpySlicesDataset

        return NumpySlicesDataset({"input_ids": np.stack(counting_rows(40))}, shuffle=True).batch(8)

    def run(name, stop=None, resume=None):
        class Stop:
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step == stop

        trainer = make_trainer(
            tmp_path / name, dataset=data(), max_steps=12, save_strategy="steps", options={"callbacks": Stop()}
        )
        losses = trainer.train(resume_training=resume).losses
        return losses, weights_of(trainer.model)

    whole, weights = run("whole")
    run("parts", stop=7)
    losses, resumed = run("parts", resume=True)
    assert losses == whole
    assert_equal_weights(weights, resumed)
