"""Learning-rate schedules, with the formulas of the ``transformers`` schedules of the same names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..trainer.arguments import TrainingArguments



def schedule(args: TrainingArguments, total_steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the step, from 0.

    Args:
        args: Type, peak, warm-up.
        total_steps: Steps of the whole run.
    """
    warmup = args.warmup_steps or math.ceil(args.warmup_ratio * total_steps)
    if args.lr_scheduler_type == "constant":
        warmup = 0

    def rate(step: int) -> float:
        if step < warmup:
            return args.learning_rate * step / max(1, warmup)
        progress = (step - warmup) / max(1, total_steps - warmup)
        return args.learning_rate * _shape(args, min(progress, 1.0))

    return rate


def _shape(args: TrainingArguments, progress: float) -> float:
    """Return the share of the peak at ``progress``, from 0 after warm-up to 1 at the end."""
    kind = args.lr_scheduler_type
    if kind == "linear":
        return 1.0 - progress
    if kind == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if kind == "cosine_with_restarts":
        return 0.0 if progress >= 1 else 0.5 * (1.0 + math.cos(math.pi * (args.lr_num_cycles * progress % 1.0)))
    if kind == "polynomial":  # of degree 1
        end = args.lr_end / args.learning_rate if args.learning_rate else 0.0
        return (1.0 - end) * (1.0 - progress) + end
    return 1.0
