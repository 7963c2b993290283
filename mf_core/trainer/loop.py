"""The training loop."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from ..backends.runtime import exclusive
from ..errors import CheckpointError
from ..optim.schedules import schedule
from ..utils.console import say
from .arguments import TrainingArguments
from .callbacks import CallbackList
from .evaluation import check_metric
from .loader import Group, StreamEnded
from .results import Parts, StepResults
from .rng import RandomState, state_to_json
from .state import TrainerControl, TrainerState
from .termination import StopSignals


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        steps: Steps taken, those before a resumption included.
        loss: Mean loss of the last log line; NaN where nothing was trained.
        losses: Step -> mean loss since the last entry.
        tokens: Targets trained on.
        seconds: Time, compiling included.
        metrics: Of the last evaluation, if there was one.
    """

    steps: int
    loss: float
    losses: dict[int, float]
    tokens: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


class TrainingLoop:
    """Runs a training from where its state stands to its end.

    Args:
        parts: What it works with.
        args: Settings.
        state: Where the run stands; it is changed.
        callbacks: Those of training.
        eval_callbacks: Those of evaluation.
        random: Python's and numpy's generators as the last step that was taken left them; for resumed runs.
    """

    def __init__(
        self,
        parts: Parts,
        args: TrainingArguments,
        state: TrainerState,
        callbacks: CallbackList,
        eval_callbacks: CallbackList,
        random: RandomState | None = None,
    ) -> None:
        self.parts, self.args, self.state = parts, args, state
        self.callbacks, self.eval_callbacks = callbacks, eval_callbacks
        self.control = TrainerControl()
        self._random = random
        self._rate = schedule(args, state.max_steps)
        self._metrics: dict[str, float] = {}
        self._saved_step = self._first_step = state.global_step
        self._results = StepResults(parts, args, state, self._rate)
        self._signals, self._terminated = StopSignals(), False
        self._interruption: BaseException | None = None
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Train to the end of the run or of a stream, or until a callback, SIGTERM or Ctrl-C stops it.

        A checkpoint is written at the end; and also, where ``save_strategy`` allows it, when data, callbacks or
        metrics raise an error.

        Raises:
            TrainingError: The loss is not a number any more.
            OutOfMemoryError: A step does not fit.
            CheckpointError: A checkpoint cannot be written.
            SystemExit: With the code 143, after a SIGTERM, when the checkpoint is written.
            KeyboardInterrupt: After a SIGINT, when the checkpoint is written; or what the user's handler raises. A
                handler that raises nothing ends nothing.
        """
        state = self.state
        with self._signals:
            self._call("on_train_begin")
            self._results.restart_clock()
            self._saved_at = time.monotonic()
            try:
                self._agree()
                while state.global_step < state.max_steps and not self._stopping:
                    try:
                        self._run_epochs()
                    except StreamEnded as ended:
                        if state.global_step == self._first_step:
                            raise
                        self._end_early(ended)
                        break
                if self._terminated or self._interruption is not None:
                    self._stop_for_signal()
                if self.args.save_strategy != "no" and self._saved_step != state.global_step:
                    self._save()
                self.parts.store.wait()
            except BaseException as error:
                with suppress(Exception):  # the first error is the one to report
                    self._save_after(error)
                    self.parts.store.wait()
                raise

    def end(self) -> TrainResult:
        """Call ``on_train_end``, when the result has been saved, and return it."""
        state = self.state
        if self._results.targetless:
            warnings.warn(f"{self._results.targetless} steps had no targets and changed nothing", stacklevel=4)
        self._call("on_train_end")
        losses = {entry["step"]: entry["loss"] for entry in state.log_history if "loss" in entry}
        last = losses[max(losses)] if losses else float("nan")
        return TrainResult(state.global_step, last, losses, state.tokens, state.seconds, self._metrics)

    def _end_early(self, ended: StreamEnded) -> None:
        """Warn that a stream ended before ``max_steps``, and log its size."""
        state = self.state
        if self._results.pending:
            self._log()
        warnings.warn(
            f"the train_dataset ended after step {state.global_step} of {state.max_steps}; training ends there, and "
            f"the model is saved: {ended.why}", stacklevel=4,
        )  # fmt: skip
        state.max_steps = state.global_step

    def _save_after(self, error: BaseException) -> None:
        """Write a checkpoint after an error that left the weights as the last step made them."""
        new = self.state.global_step > max(self._saved_step, self._first_step) and self._results.intact
        saves = self.args.save_strategy != "no" and self.parts.alone
        if new and saves and isinstance(error, Exception) and not isinstance(error, CheckpointError):
            self._save()

    @property
    def _stopping(self) -> bool:
        return self._terminated or self._interruption is not None or self.control.should_training_stop

    def _agree(self) -> None:
        """Combine what each process received or its callbacks decided into one decision of all processes."""
        control = self.control
        names = [name for name in vars(control) if name.startswith("should_")]
        self._interruption = self._interruption or self._signals.interruption()
        stops = [self._signals.terminated, self._interruption is not None]
        self._terminated, interrupted, *flags = self.parts.agree([*stops, *(getattr(control, name) for name in names)])
        if interrupted and self._interruption is None:
            self._interruption = KeyboardInterrupt("another process of the run was interrupted")
        for name, flag in zip(names, flags, strict=True):
            setattr(control, name, flag)

    def _run_epochs(self) -> None:
        """Take steps to the end, or until a callback asks for the next pass over the data."""
        state = self.state
        groups = self.parts.loader.groups(state.epoch_number, state.batches_taken, self._random)
        with closing(groups):  # type: ignore[type-var]
            for group in groups:
                self._take(group)
                if state.global_step >= state.max_steps or self._stopping:
                    return
                if self.control.should_epoch_stop and not group.ends_epoch:
                    self.control.should_epoch_stop = False
                    self._end_epoch(group)
                    return
                self.control.should_epoch_stop = False

    def _take(self, group: Group) -> None:
        """Take one step, then log, evaluate and save where due."""
        state, number = self.state, self.state.global_step + 1
        self._random = group.state
        if group.first == 0:
            self._call("on_epoch_begin")
        self._call("on_step_begin")
        try:
            with exclusive():
                result = self.parts.step.run(number, self._rate(number - 1), group.batches)
        except (RuntimeError, MemoryError) as error:
            raise self._results.explained(error, group) from error
        state.global_step = number
        self._results.add(result, number, group)
        state.epoch_number, state.batches_taken = group.epoch, group.first + len(group.batches)
        per_epoch = self.parts.loader.batches_per_epoch
        state.epoch = state.epoch_number + (state.batches_taken / per_epoch if per_epoch else 0.0)
        self._set_due(group)
        self._call("on_step_end", loss=result[0])
        if group.ends_epoch:
            self._end_epoch(group)
        self._agree()
        self.parts.store.check()
        self._do_due()

    def _end_epoch(self, group: Group) -> None:
        self._call("on_epoch_end")
        self.state.epoch_number, self.state.batches_taken = group.epoch + 1, 0

    def _set_due(self, group: Group) -> None:
        """Set the flags of what the settings want after this step."""
        args, control, number = self.args, self.control, self.state.global_step
        last = number == self.state.max_steps
        steps, epochs = args.eval_every
        pass_ended = group.ends_epoch or last
        control.should_log = number % args.logging_steps == 0 or last
        control.should_evaluate = bool(
            (steps and number % steps == 0) or (epochs and pass_ended and (group.epoch + 1) % epochs == 0)
        )
        control.should_save = {
            "no": False,
            "steps": number % args.save_steps == 0,
            "epoch": pass_ended,
            "seconds": False,
        }[args.save_strategy]
        if args.save_seconds is not None and args.save_strategy != "no":
            control.should_save |= time.monotonic() - self._saved_at >= args.save_seconds

    def _do_due(self) -> None:
        control = self.control
        if self._terminated or self._interruption is not None:
            control.should_evaluate = False  # whoever stops a run does not wait for it
        if not (control.should_log or control.should_evaluate or control.should_save):
            return
        if control.should_log:
            self._log()
        if control.should_evaluate:
            self._evaluate()
        if control.should_save:
            self._save()
        control.should_log = control.should_evaluate = control.should_save = False
        self._agree()  # callbacks have been called

    # What is due ------------------------------------------------------------------------------------------------------

    def _log(self) -> None:
        logs = self._results.log_line()
        if self.parts.rate_now is not None:
            logs["learning_rate"] = self.parts.rate_now()
        self._call("on_log", logs=logs)

    def _evaluate(self) -> None:
        state, args = self.state, self.args
        self._results.collect()
        self.eval_callbacks.call("on_evaluate_begin", args, state, self.control)
        metrics = self._metrics_now()
        if metrics is None:
            return
        self._metrics = metrics
        self._results.restart_clock()  # an evaluation is not training time
        state.log_history.append(
            {"step": state.global_step, "epoch": state.epoch, **{f"eval_{key}": v for key, v in metrics.items()}}
        )
        value, best = float(metrics[check_metric(args.metric_for_best_model, metrics)]), state.best_metric
        is_best = best is None or (value > best if args.more_is_better else value < best)
        if math.isnan(value):
            warnings.warn(
                f"{args.metric_for_best_model} is not a number at step {state.global_step}: that is never the best",
                stacklevel=4,
            )
        if is_best and not math.isnan(value):
            state.best_metric, state.evaluations_since_best = value, 0
            if args.save_strategy != "no":
                self.control.should_save = True
                state.best_model_checkpoint = f"checkpoint-{state.global_step}"
        else:
            state.evaluations_since_best += 1
            patience = args.early_stopping_patience
            if patience is not None and state.evaluations_since_best >= patience:
                self.control.should_training_stop = True
        self._call("on_evaluate", metrics=metrics)
        self.eval_callbacks.call("on_evaluate", args, state, self.control, metrics=metrics)

    def _metrics_now(self) -> dict[str, float] | None:
        """Evaluate the model; return None where Ctrl-C ends the evaluation, and so the run."""
        if self.parts.alone:
            try:
                with self._signals.immediate():
                    return self.parts.evaluate()
            except BaseException as error:
                if error is not self._signals.raised:
                    raise
                self._interruption = error
                return None
        return self.parts.evaluate()  # the other processes wait for this one

    def _save(self) -> None:
        state = self.state
        self._results.collect()
        if self._saved_step == state.global_step and self._saved_step:
            return
        content = {
            **state.to_dict(),
            "data": self.parts.loader.describe(),
            "random_state": state_to_json(self._random),
        }
        path = self.parts.store.save(
            state.global_step, self.parts.copy_tensors(), content, protected=state.best_model_checkpoint
        )
        self._saved_step, self._saved_at = state.global_step, time.monotonic()
        self._call("on_save", checkpoint=path)

    def _stop_for_signal(self) -> None:
        self._save()
        self.parts.store.wait()
        self._call("on_train_end")
        name = "SIGTERM" if self._terminated else "SIGINT"
        say(
            f"{name}: stopped after step {self.state.global_step}/{self.state.max_steps}; "
            f"checkpoint-{self.state.global_step} is written, and resume_training=True resumes from it"
        )
        if self._interruption is not None and not self._terminated:
            raise self._interruption
        raise SystemExit(143)

    def _call(self, event: str, **more: Any) -> None:
        self.callbacks.call(event, self.args, self.state, self.control, **more)
