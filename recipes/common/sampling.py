"""Generate stories with a checkpoint, for scoring."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from scoring import Report

from mf_core import pipeline

#: Stories made together, of one opening and one seed.
TOGETHER = 20


def sample(model: str, openings: Sequence[str], count: int, seed: int, **sampling: Any) -> list[str]:
    """Return `count` stories that a checkpoint tells, of the `openings` in turn; `sampling` as `generate` takes it."""
    generate = pipeline("text_generation", model, do_sample=True, **sampling)
    texts: list[str] = []
    for number in range(0, count, TOGETHER):
        opening = openings[number // TOGETHER % len(openings)]
        (result,) = generate(opening, seed=seed + number, num_return_sequences=min(TOGETHER, count - number))
        texts += result["text_generation_text"]
    return texts


def main(
    model: str, openings: Sequence[str], score: Callable[[list[str]], Report], arguments: Sequence[str] | None = None
) -> None:
    """Print the share of stories that the grammar accepts; `model` is the default checkpoint."""
    parser = argparse.ArgumentParser(description="Generate stories with a checkpoint and score them by the grammar.")
    parser.add_argument("--model", default=model, help="a preset or a directory")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-k", type=int)
    options = parser.parse_args(arguments)
    sampling = {name: value for name in ("temperature", "top_k") if (value := getattr(options, name)) is not None}
    print(score(sample(options.model, openings, options.count, options.seed, **sampling)).render())
