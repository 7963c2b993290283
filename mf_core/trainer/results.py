"""What a training loop works with, and the results of its steps: bringing them to the host, and log lines of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.base import get_backend
from ..errors import TrainingError
from ..models.call_checks import explained
from .arguments import TrainingArguments
from .checkpoints.store import CheckpointStore
from .loader import Group, Loader
from .memory import out_of_memory
from .recipe import TrainingRecipe
from .state import TrainerState, Window
from .steps.protocol import Step


@dataclass
class Parts:
    """What a training loop works with.

    Attributes:
        recipe: The task's, with the model.
        loader: The training data.
        step: Takes the steps.
        evaluate: Evaluates the model; returns the metrics by name.
        copy_tensors: Copies what a checkpoint holds, and returns what writes the copies into a folder.
        store: Writes checkpoints.
        rate_now: Returns the learning rate of a user's optimizer; None: the schedule decides it.
        agree: Returns which of some flags are set in any of the processes that train together.
    """

    recipe: TrainingRecipe
    loader: Loader
    step: Step
    evaluate: Callable[[], dict[str, float]]
    copy_tensors: Callable[[], Callable[[Path], None]]
    store: CheckpointStore
    rate_now: Callable[[], float] | None = None
    agree: Callable[[Sequence[bool]], Sequence[bool]] = tuple

    @property
    def alone(self) -> bool:
        """Whether one process trains."""
        return self.agree is tuple


@dataclass(frozen=True)
class _PendingResult:
    """A step whose results are still on the device."""

    result: tuple[Any, Any, Any]
    number: int
    group: Group


class StepResults:
    """Collects the results of steps, which stay on the device until they are needed.

    The first step of a process compiles: its time is left out of rates.

    Args:
        parts: What the loop works with.
        args: Settings.
        state: The run's state; it is changed.
        rate: Learning rate of each step, from 0.

    Attributes:
        pending: Steps whose results have not been collected.
        intact: Whether the weights are those that the last step made; false when a step has failed.
        targetless: Steps that had no targets.
    """

    def __init__(
        self, parts: Parts, args: TrainingArguments, state: TrainerState, rate: Callable[[int], float]
    ) -> None:
        self._parts, self._args, self._state, self._rate = parts, args, state, rate
        self.pending: list[_PendingResult] = []
        self.intact, self.targetless = True, 0
        self._first = state.global_step + 1
        self._norm, self._length = 0.0, 0
        self._before = Window()
        self._clock = time.monotonic()

    def restart_clock(self) -> None:
        """Leave the time since the last step out of the training time."""
        self._clock = time.monotonic()

    def add(self, result: tuple[Any, Any, Any], number: int, group: Group) -> None:
        """Add a step that has been started."""
        self.pending.append(_PendingResult(result, number, group))
        window = self._state.window
        window.positions += sum(map(self._parts.recipe.tokens, group.batches))
        self._length = group.batches[0][0].shape[-1]
        if number == self._first:
            self.collect()
            self._before = Window(window.loss, window.targets, window.seconds, window.positions)

    def collect(self) -> None:
        """Bring the results of pending steps to the host, and add them to the window.

        Raises:
            TrainingError: More than ``max_nan_steps`` steps in a row were not finite.
            OutOfMemoryError: A step did not fit.
        """
        window, state = self._state.window, self._state
        pending, self.pending = self.pending, []
        for taken in pending:
            try:
                loss, targets, norm = (float(item.asnumpy()) for item in taken.result)
            except (RuntimeError, MemoryError) as error:
                raise self.explained(error, taken.group) from error
            state.tokens += int(targets)
            self.targetless += targets == 0
            # Where the loss is scaled, an overflow of the gradient is what finds the scale.
            if np.isfinite(loss) and (np.isfinite(norm) or self._parts.step.scaled):
                state.nan_steps = 0
                window.loss += loss * targets
                window.targets += targets
                self._norm = norm
            else:
                state.nan_steps += 1
            if not (np.isfinite(loss) and np.isfinite(norm)):
                state.skipped_steps += 1
            if state.nan_steps > self._args.max_nan_steps:
                raise self._not_finite(taken, loss, norm)
        now = time.monotonic()
        window.seconds += now - self._clock
        state.seconds += now - self._clock
        self._clock = now

    def log_line(self) -> dict[str, Any]:
        """Add a line of the steps since the last one to the state's history, and return it with ``seconds_left``."""
        state, backend = self._state, get_backend()
        self.collect()
        window, state.window = state.window, Window()
        before, self._before = self._before, Window()
        seconds, positions = window.seconds - before.seconds, window.positions - before.positions
        logs: dict[str, Any] = {
            "loss": window.loss / window.targets if window.targets else float("nan"),
            "learning_rate": self._rate(state.global_step - 1),
            "grad_norm": self._norm,
            "tokens": state.tokens,
            "memory_bytes": backend.memory_used(),
            "seconds": state.seconds,
            "epoch": state.epoch,
        }
        if state.skipped_steps:
            logs["skipped_steps"] = state.skipped_steps
        if positions > 0:  # else of no step but the first
            logs["tokens_per_second"] = (window.targets - before.targets) / max(seconds, 1e-9)
            model = self._parts.recipe.model
            peak = backend.peak_flops(model.compute_dtype)
            if peak:
                share = positions * model.flops_per_token(self._length) / max(seconds, 1e-9) / peak
                if share <= 1:  # else the device was busy with other work when its speed was measured
                    logs["flops_utilization"] = share
        last = next((entry["step"] for entry in reversed(state.log_history) if "loss" in entry), 0)
        state.log_history.append({"step": state.global_step, **logs})
        steps = state.global_step - (self._first if last < self._first else last)
        left = {"seconds_left": (state.max_steps - state.global_step) * seconds / steps} if steps > 0 else {}
        return {**logs, **left}

    def explained(self, error: BaseException, group: Group) -> BaseException:
        """Return the error that explains why a step failed; the weights may be anything."""
        self.intact = False
        model = self._parts.recipe.model
        return out_of_memory(model, self._args, group.batches, error) or explained(model, error) or error

    def _not_finite(self, taken: _PendingResult, loss: float, norm: float) -> TrainingError:
        what = f"the loss of step {taken.number} is {loss}" if not np.isfinite(loss) else (
            f"the gradient of step {taken.number} is {norm}")  # fmt: skip
        first, count = taken.group.first, len(taken.group.batches)
        batches = f"batch {first + 1}" if count == 1 else f"batches {first + 1} to {first + count}"
        before = f"; {self._state.nan_steps} steps in a row" if self._state.nan_steps > 1 else ""
        return TrainingError(
            f"{what} (pass {taken.group.epoch + 1}, {batches}{before})", value=taken.number,
            why="the step was left out: the weights are those before it",
            hint="lower learning_rate, raise warmup_steps, or look at the data of that batch; max_nan_steps skips more",
        )  # fmt: skip
