"""Learning-rate schedules, with the formulas of the ``transformers`` schedules of the same names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .table import schedule_spec

if TYPE_CHECKING:
    from ..trainer.arguments import TrainingArguments


def schedule(args: TrainingArguments, total_steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the step, from 0.

    Args:
        args: Type, peak, warm-up.
        total_steps: Steps of the whole run.
    """
    spec = schedule_spec(args.lr_scheduler_type)
    warmup = args.warmup_steps or math.ceil(args.warmup_ratio * total_steps)
    if not spec.warmup:
        warmup = 0

    def rate(step: int) -> float:
        if step < warmup:
            return args.learning_rate * step / max(1, warmup)
        progress = (step - warmup) / max(1, total_steps - warmup)
        return args.learning_rate * spec.shape(args, min(progress, 1.0))

    return rate
