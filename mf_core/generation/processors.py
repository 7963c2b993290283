"""The logits processors that a generation configuration turns on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from .options import RowLimits

if TYPE_CHECKING:
    from .config import GenerationConfig
    from .logits import LogitsProcessor


def build_processors(
    config: GenerationConfig,
    prompt_lengths: Sequence[int] = (),
    limits: Sequence[int] = (),
    custom: Sequence[LogitsProcessor] = (),
) -> list[LogitsProcessor]:
    """Return the processors that ``config`` turns on, in the order of ``transformers``.

    Args:
        config: The options.
        prompt_lengths: Ids in each row's prompt.
        limits: Maximum number of ids of each row.
        custom: Further processors, applied before those of sampling.
    """
    least = len(config.eos_ids) + 1 if config.num_beams > 1 else 1
    rows = RowLimits(tuple(prompt_lengths), tuple(limits), max(2, least) if config.num_beams > 1 else 1)

    def made(table: Sequence[Any]) -> list[LogitsProcessor]:
        return [processor for build in table if (processor := build(config, rows)) is not None]

    first = chain(made(config.penalty_processors), made(config.constraint_processors))
    return [*first, *custom, *made(config.sampling_processors)]
