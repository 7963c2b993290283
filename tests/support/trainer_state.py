"""A checkpoint's state file, and edits of it."""

import copy
import json

from mf_core.trainer.checkpoints.state_file import STATE_FILE
from mf_core.trainer.rng import random_state, state_to_json
from mf_core.trainer.state import TrainerState

#: A checkpoint's state as a run writes it.
STATE = {
    "run": 32 * "a", "own": ["checkpoint-2", "checkpoint-4"],
    **TrainerState(
        global_step=4, max_steps=8, epoch=4 / 7, num_train_epochs=8 / 7, batches_taken=4, tokens=512, seconds=1.5,
        best_metric=0.5, best_model_checkpoint="checkpoint-2",
        log_history=[{"step": 2, "loss": 3.5}, {"step": 2, "eval_loss": 3.4}, {"step": 4, "loss": float("nan")}],
    ).to_dict(),
    "data": {"batches_per_epoch": 7, "batch_size": 4, "gradient_accumulation_steps": 1, "data_seed": 42,
             "digest": 64 * "0"},
    "random_state": state_to_json(random_state()),
}  # fmt: skip
DELETE = object()


def write(folder, data, name="checkpoint-4"):
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / STATE_FILE).write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def edited(path, value):
    data = copy.deepcopy(STATE)
    target = data
    for key in path[:-1]:
        target = target[key]
    if value is DELETE:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return data
