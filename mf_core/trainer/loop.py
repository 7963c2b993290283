"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.runtime import exclusive
from ..errors import ArgumentError, CheckpointError, TrainingError
from ..optim.schedules import schedule
from ..utils.console import say
from .arguments import TrainingArguments
from .callbacks import CallbackList
from .checkpoints.store import CheckpointStore
from .loader import Group, Loader
from .memory import out_of_memory
from .rng import RandomState, state_to_json
from .state import TrainerControl, TrainerState, Window
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


@dataclass
class Parts:
    """What the loop is given to work with.

    Attributes:
        model: The model.
        loader: The training data.
        step: Takes a step: ``run(number, rate, batches)`` gives loss, targets and gradient norm on the device.
        evaluate: Evaluates the model; gives the metrics by name.
        copy_tensors: Copies what a checkpoint holds, and returns what writes the copies into a folder.
        store: Where checkpoints go.
        tokens_of: Positions that the model computes for a batch.
        flops_per_token: Of training on one position.
        peak_flops: What the device could do in a second, if that is known.
        memory_used: Bytes that the process has used.
        rate_now: The learning rate, where an optimizer of the user's own decides it.
        agree: Returns which of some flags are set in any of the processes that train together.
    """

    model: Any
    loader: Loader
    step: Any
    evaluate: Callable[[], dict[str, float]]
    copy_tensors: Callable[[], Callable[[Path], None]]
    store: CheckpointStore
    tokens_of: Callable[[tuple[np.ndarray, ...]], int]
    flops_per_token: Callable[[int], int]
    peak_flops: Callable[[], float | None]
    memory_used: Callable[[], int]
    rate_now: Callable[[], float] | None = None
    agree: Callable[[Sequence[bool]], Sequence[bool]] = tuple

    @property
    def alone(self) -> bool:
        """Whether one process trains."""
        return self.agree is tuple


@dataclass(frozen=True)
class _Taken:
    """A step whose results are still on the device."""

    result: tuple[Any, Any, Any]
    number: int
    group: Group


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
        self._pending: list[_Taken] = []
        self._norm = 0.0
        self._length = 0
        self._metrics: dict[str, float] = {}
        self._saved_step = state.global_step
        self._signals, self._terminated = StopSignals(), False
        self._interruption: BaseException | None = None
        self._clock = self._saved_at = time.monotonic()

    def run(self) -> TrainResult:
        """Train to the end, or until a callback, SIGTERM or Ctrl-C stops it.

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
            self._clock = self._saved_at = time.monotonic()
            try:
                self._agree()
                while state.global_step < state.max_steps and not self._stopping:
                    self._run_epochs()
                if self._terminated or self._interruption is not None:
                    self._stop_for_signal()
                if self.args.save_strategy != "no" and self._saved_step != state.global_step:
                    self._save()
                self.parts.store.wait()
            except BaseException:
                with suppress(CheckpointError):  # the first error is the one to tell
                    self.parts.store.wait()
                raise
        self._call("on_train_end")
        losses = {entry["step"]: entry["loss"] for entry in state.log_history if "loss" in entry}
        last = losses[max(losses)] if losses else float("nan")
        return TrainResult(state.global_step, last, losses, state.tokens, state.seconds, self._metrics)

    @property
    def _stopping(self) -> bool:
        return self._terminated or self._interruption is not None or self.control.should_training_stop

    def _agree(self) -> None:
        """Make what this process was told, or its callbacks decided, a decision of all that train together."""
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
        """Take one step, and do what is due after it."""
        state, number = self.state, self.state.global_step + 1
        self._random = group.state
        if group.first == 0:
            self._call("on_epoch_begin")
        self._call("on_step_begin")
        try:
            with exclusive():
                result = self.parts.step.run(number, self._rate(number - 1), group.batches)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error, group) from error
        self._pending.append(_Taken(result, number, group))
        state.global_step = number
        state.window.positions += sum(map(self.parts.tokens_of, group.batches))
        self._length = group.batches[0][0].shape[-1]
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

    # Bringing results to the host ----------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Bring the results of the steps since the last time to the host, and add them to the window."""
        window, state = self.state.window, self.state
        pending, self._pending = self._pending, []
        scaling = getattr(self.parts.step, "scaled", False)
        for taken in pending:
            try:
                loss, targets, norm = (float(item.asnumpy()) for item in taken.result)
            except (RuntimeError, MemoryError) as error:
                raise self._explained(error, taken.group) from error
            state.tokens += int(targets)
            # Where the loss is scaled, an overflow of the gradient is what finds the scale.
            if np.isfinite(loss) and (np.isfinite(norm) or scaling):
                state.nan_steps = 0
                window.loss += loss * targets
                window.targets += targets
                self._norm = norm
            else:
                state.nan_steps += 1
            if not (np.isfinite(loss) and np.isfinite(norm)):
                state.skipped_steps += 1
            if state.nan_steps > self.args.max_nan_steps:
                raise self._not_finite(taken, loss, norm)
        now = time.monotonic()
        window.seconds += now - self._clock
        state.seconds += now - self._clock
        self._clock = now

    def _not_finite(self, taken: _Taken, loss: float, norm: float) -> TrainingError:
        what = f"the loss of step {taken.number} is {loss}" if not np.isfinite(loss) else (
            f"the gradient of step {taken.number} is {norm}")  # fmt: skip
        first, count = taken.group.first, len(taken.group.batches)
        batches = f"batch {first + 1}" if count == 1 else f"batches {first + 1} to {first + count}"
        before = f"; {self.state.nan_steps} steps in a row" if self.state.nan_steps > 1 else ""
        return TrainingError(
            f"{what} (pass {taken.group.epoch + 1}, {batches}{before})", value=taken.number,
            why="the step was left out: the weights are those before it",
            hint="lower learning_rate, raise warmup_steps, or look at the data of that batch; max_nan_steps skips more",
        )  # fmt: skip

    def _explained(self, error: BaseException, group: Group) -> BaseException:
        return out_of_memory(self.parts.model, self.args, group.batches, error) or error

    # What is due ------------------------------------------------------------------------------------------------------

    def _log(self) -> None:
        state = self.state
        self._collect()
        window, state.window = state.window, Window()
        seconds = max(window.seconds, 1e-9)
        logs: dict[str, Any] = {
            "loss": window.loss / window.targets if window.targets else float("nan"),
            "learning_rate": self.parts.rate_now() if self.parts.rate_now else self._rate(state.global_step - 1),
            "grad_norm": self._norm,
            "tokens": state.tokens,
            "tokens_per_second": window.targets / seconds,
            "memory_bytes": self.parts.memory_used(),
            "seconds": state.seconds,
            "epoch": state.epoch,
        }
        if state.skipped_steps:
            logs["skipped_steps"] = state.skipped_steps
        peak = self.parts.peak_flops()
        if peak:
            work = window.positions * self.parts.flops_per_token(self._length)
            logs["flops_utilization"] = work / seconds / peak
        before = next((entry["step"] for entry in reversed(state.log_history) if "loss" in entry), 0)
        state.log_history.append({"step": state.global_step, **logs})
        steps = max(state.global_step - before, 1)
        logs["seconds_left"] = (state.max_steps - state.global_step) * seconds / steps
        self._call("on_log", logs=logs)

    def _evaluate(self) -> None:
        state, args = self.state, self.args
        self._collect()
        self.eval_callbacks.call("on_evaluate_begin", args, state, self.control)
        metrics = self._metrics_now()
        if metrics is None:
            return
        self._metrics = metrics
        self._clock = time.monotonic()  # an evaluation is not training time
        state.log_history.append(
            {"step": state.global_step, "epoch": state.epoch, **{f"eval_{key}": v for key, v in metrics.items()}}
        )
        name = args.metric_for_best_model.removeprefix("eval_")
        if name not in metrics:
            raise ArgumentError(
                f"metric_for_best_model={args.metric_for_best_model!r} is not among the metrics", value=name,
                hint=f"they are: {', '.join(metrics)}",
            )  # fmt: skip
        value, best = float(metrics[name]), state.best_metric
        if best is None or (value > best if args.more_is_better else value < best):
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
        self._collect()
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
            f"checkpoint-{self.state.global_step} is written, and resume_training=True goes on from it"
        )
        if self._interruption is not None and not self._terminated:
            raise self._interruption
        raise SystemExit(143)

    def _call(self, event: str, **more: Any) -> None:
        self.callbacks.call(event, self.args, self.state, self.control, **more)
