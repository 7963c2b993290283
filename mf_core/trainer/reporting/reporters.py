"""The callbacks that show and record a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import TrainingArguments
from .loggers import MetricsRecorder
from .profiling import Profile
from .progress import Progress


def reporters(directory: Path, args: TrainingArguments, summary: Any) -> list[Any]:
    """Return them, and show the summary of the data.

    Args:
        directory: The run's output directory.
        args: Settings.
        summary: Of the data; its text is shown.
    """
    progress = Progress()
    progress.say(f"data: {summary}")
    found: list[Any] = [progress, MetricsRecorder(directory, args)]
    return [*found, Profile(directory / "profile")] if args.profile else found
