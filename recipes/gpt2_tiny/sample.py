"""Generates stories with a checkpoint and scores them by the grammar.

    python recipes/gpt2_tiny/sample.py [--model gpt2_tiny] [--count 200]
"""

from __future__ import annotations

import argparse

import score

from mf_core import pipeline


def main() -> None:
    """Print the share of stories that the grammar accepts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2_tiny")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-k", type=int)
    options = parser.parse_args()
    sampling = {name: value for name in ("temperature", "top_k") if (value := getattr(options, name)) is not None}
    generate = pipeline("text_generation", options.model, do_sample=True, **sampling)
    openings = ("Once upon a time", "One", "In a")
    texts: list[str] = []
    for number in range(0, options.count, 20):
        opening = openings[number // 20 % len(openings)]
        (result,) = generate(opening, seed=options.seed + number, num_return_sequences=min(20, options.count - number))
        texts += result["text_generation_text"]
    print(score.score(texts).render())


if __name__ == "__main__":
    main()
