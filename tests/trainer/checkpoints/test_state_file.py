"""State files that were edited: each gives a clear error, or changes nothing that matters."""

import json

import pytest

from mf_core.errors import CheckpointError, IntegrityError
from mf_core.trainer.checkpoints.state_file import read_checkpoint, read_run
from mf_core.trainer.rng import state_to_json

from ...support.trainer_state import DELETE, STATE, edited, write


def test_a_state_comes_back_as_it_was(tmp_path):
    content = read_checkpoint(write(tmp_path, STATE))
    wanted = {name: value for name, value in STATE.items() if name not in ("run", "own", "data", "random_state")}
    assert json.dumps(content.state().to_dict()) == json.dumps(wanted)
    assert json.dumps(state_to_json(content.random())) == json.dumps(STATE["random_state"])


EDITS = [
    *[((name,), DELETE) for name in STATE if name != "finished"],
    (("own",), ["/etc"]), (("own",), ["../x"]), (("own",), [".."]), (("own",), ["checkpoint-1/../../x"]),
    (("own",), "checkpoint-4"), (("own",), [4]), (("own",), {"a": 1}), (("own",), ["checkpoint-4\n"]),
    (("own",), ["checkpoint-04"]), (("run",), ""), (("run",), 5), (("run",), "../../../x"), (("run",), None),
    (("global_step",), 10**18), (("global_step",), -1), (("global_step",), 4.0), (("global_step",), "4"),
    (("global_step",), True), (("global_step",), None), (("global_step",), 5), (("global_step",), 3),
    (("max_steps",), 3), (("max_steps",), 10**30), (("epoch",), -0.5), (("epoch",), 2.0), (("epoch",), "x"),
    (("epoch",), float("nan")), (("epoch",), float("inf")), (("epoch_number",), 10**9), (("epoch_number",), -1),
    (("batches_taken",), 10**9), (("batches_taken",), 5), (("batches_taken",), -1), (("batches_taken",), []),
    (("tokens",), -1), (("seconds",), float("-inf")), (("skipped_steps",), 99), (("nan_steps",), 3),
    (("best_metric",), float("nan")), (("best_metric",), "0.5"), (("best_model_checkpoint",), "/etc"),
    (("best_model_checkpoint",), "../checkpoint-2"), (("best_model_checkpoint",), "checkpoint-99"),
    (("best_model_checkpoint",), 2), (("evaluations_since_best",), -1), (("log_history",), {}),
    (("log_history",), [1]), (("log_history",), [{"loss": 1.0}]), (("log_history",), [{"step": 99}]),
    (("log_history",), [{"step": 3}, {"step": 2}]), (("log_history",), [{"step": True}]),
    (("window",), None), (("window", "seconds"), -1), (("window", "loss"), "x"), (("window", "other"), 1),
    (("data",), []), (("data", "batches_per_epoch"), 0), (("data", "batches_per_epoch"), 3), (("data", "digest"), 5),
    (("data", "batch_size"), -4), (("data", "data_seed"), 2**32), (("data", "digest"), DELETE),
    (("random_state",), None), (("random_state",), []),
    (("random_state",), [[3, [1], None], ["MT19937", [1], 1, 0, 0.0]]),
    (("random_state", 0, 0), 2), (("random_state", 0, 1, 0), -1), (("random_state", 0, 1, 624), 625),
    (("random_state", 0, 2), "x"), (("random_state", 1, 0), "PCG64"), (("random_state", 1, 1, 5), 2**32),
    (("random_state", 1, 2), 625), (("random_state", 1, 3), 2), (("random_state", 1, 4), None),
    (("unknown",), 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), EDITS, ids=lambda value: "DELETE" if value is DELETE else str(value)[:40])
def test_an_edit_is_a_clear_error(tmp_path, path, value):
    with pytest.raises(IntegrityError) as caught:
        read_checkpoint(write(tmp_path, edited(path, value)))
    assert len(str(caught.value)) < 1000
    assert "trainer_state.json" in str(caught.value)


def test_other_files_are_clear_errors_too(tmp_path):
    for text in ("", "[]", "null", "{", "5", "[" * 100_000, '{"run": "\\ud800"}', "\x00"):
        with pytest.raises(IntegrityError):
            read_checkpoint(write(tmp_path, text))
    with pytest.raises(IntegrityError, match="is of step 4"):
        read_checkpoint(write(tmp_path, STATE, "checkpoint-5"))
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_run(tmp_path)
