"""Writing down what a run logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .arguments import TrainingArguments
from .callbacks import Callback
from .loggers import METRICS_FILE, MetricsFile, TensorBoard
from .state import TrainerControl, TrainerState


class Recorder(Callback):
    """Writes log lines and evaluations to ``metrics.jsonl``, and to TensorBoard's files where ``report_to`` asks.

    Args:
        directory: The run's output directory.
        args: ``report_to``, ``logging_dir``.
    """

    def __init__(self, directory: Path, args: TrainingArguments) -> None:
        self._writers: list[Any] = [MetricsFile(directory / METRICS_FILE)]
        if args.report_to == "tensorboard":
            self._writers.append(TensorBoard(Path(args.logging_dir) if args.logging_dir else directory / "logs"))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop what an earlier run, or a resumed run's lost steps, wrote beyond this step."""
        for writer in self._writers:
            writer.rewind(state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write a log line."""
        values = {name: value for name, value in kwargs["logs"].items() if name != "seconds_left"}
        self._write(state.global_step, values)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write an evaluation."""
        values = {f"eval_{name}": value for name, value in kwargs["metrics"].items()}
        self._write(state.global_step, {"epoch": state.epoch, **values})

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers:
            writer.close()

    def _write(self, step: int, values: dict[str, Any]) -> None:
        for writer in self._writers:
            writer.log(step, values)
