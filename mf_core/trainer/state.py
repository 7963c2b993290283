"""Where a run stands, as callbacks see it and as checkpoints keep it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Window:
    """What has been summed since the last log line."""

    loss: float = 0.0
    targets: float = 0.0
    seconds: float = 0.0
    positions: int = 0


@dataclass
class TrainerState:
    """Where a run stands. Everything in it is plain data.

    Attributes:
        global_step: Steps taken.
        max_steps: Steps of the whole run.
        epoch: Passes over the data so far, fractions included.
        num_train_epochs: Passes of the whole run.
        epoch_number: The pass that is under way, from 0.
        batches_taken: Batches taken from that pass.
        tokens: Targets trained on.
        seconds: Time spent training, over all the processes that the run has had.
        skipped_steps: Steps left out since their loss or gradient was not finite.
        nan_steps: Such steps in a row, up to now.
        best_metric: The best value of ``metric_for_best_model`` so far.
        best_model_checkpoint: The checkpoint that had it, as a name within ``output_dir``.
        evaluations_since_best: Evaluations in a row that were not the best.
        log_history: Every log line and evaluation, as a dict.
        window: What is not yet part of a log line.
    """

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    num_train_epochs: float = 0.0
    epoch_number: int = 0
    batches_taken: int = 0
    tokens: int = 0
    seconds: float = 0.0
    skipped_steps: int = 0
    nan_steps: int = 0
    best_metric: float | None = None
    best_model_checkpoint: str | None = None
    evaluations_since_best: int = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    window: Window = field(default_factory=Window)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainerState:
        """Return the state that :meth:`to_dict` gave."""
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        values["window"] = Window(**values.get("window", {}))
        return cls(**values)


@dataclass
class TrainerControl:
    """What callbacks may ask for; the loop clears each once it is done.

    Attributes:
        should_training_stop: End after this step.
        should_epoch_stop: Continue with the next pass over the data.
        should_save, should_evaluate, should_log: Do so after this step.
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False
