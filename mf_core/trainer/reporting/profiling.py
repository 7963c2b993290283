"""MindSpore's profile of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import TrainingArguments
from ..callbacks import Callback
from ..state import TrainerControl, TrainerState


class Profile(Callback):
    """Writes what MindSpore records of the operators of a run, with a trace to look at, into a folder.

    Args:
        folder: Where to; MindSpore makes one in it for each run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._profiler: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to record."""
        from mindspore import profiler

        self._folder.mkdir(parents=True, exist_ok=True)
        self._profiler = profiler.profile(
            activities=[profiler.ProfilerActivity.CPU],
            on_trace_ready=profiler.tensorboard_trace_handler(str(self._folder)),
        )
        self._profiler.start()

    def close(self) -> None:
        """End the record and write it."""
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None
