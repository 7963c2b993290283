"""What a run shows: a bar on a terminal or in a notebook, a line for each log elsewhere."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from ...utils.console import in_notebook, is_terminal, say
from ..arguments import TrainingArguments
from ..callbacks import Callback
from ..state import TrainerControl, TrainerState

#: Columns that a bar needs beside the numbers of the last log.
_BAR_COLUMNS = 40


class Progress(Callback):
    """Shows step, loss, learning rate, gradient norm, tokens/s, use of the device, memory and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the bar."""
        if is_terminal() or in_notebook():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show the numbers."""
        if self._bar is not None:
            columns = shutil.get_terminal_size().columns - _BAR_COLUMNS if is_terminal() else None
            self._bar.set_postfix_str(describe_logs(kwargs["logs"], columns))
            return
        left = kwargs["logs"].get("seconds_left")
        eta = "" if left is None else f"  ETA {clock(left)}"
        self.say(f"step {state.global_step}/{state.max_steps}  {describe_logs(kwargs['logs'])}{eta}")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show the metrics."""
        values = "  ".join(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
                           for name, value in kwargs["metrics"].items())  # fmt: skip
        self.say(f"evaluation at step {state.global_step}  {values}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the bar."""
        self.close()

    def close(self) -> None:
        """End the bar, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def say(self, line: str) -> None:
        """Show a line, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            say(line)


def describe_logs(logs: dict[str, Any], columns: int | None = None) -> str:
    """Return the numbers of a log line for people, the most important first.

    Args:
        logs: From the training loop.
        columns: Leave out the last numbers beyond so many characters, all but the loss; None: no limit.
    """
    parts = [
        f"loss {logs['loss']:.4f}",
        f"lr {logs['learning_rate']:.2e}",
        f"grad norm {logs['grad_norm']:.2f}",
    ]
    if "tokens_per_second" in logs:
        parts.append(f"{logs['tokens_per_second']:.0f} tokens/s")
    if "flops_utilization" in logs:
        parts.append(f"MFU {logs['flops_utilization']:.0%}")
    if "memory_bytes" in logs:
        parts.append(f"{logs['memory_bytes'] / 1e9:.2f} GB")
    while columns is not None and len(parts) > 1 and len("  ".join(parts)) > columns:
        parts.pop()
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
