"""Generates stories with a checkpoint and scores them by the grammar.

    python recipes/gpt2_tiny/sample.py [--model gpt2_tiny] [--count 200]
"""

import _common  # noqa: F401
import sampling
import score

OPENINGS = ("Once upon a time", "One", "In a")

if __name__ == "__main__":
    sampling.main("gpt2_tiny", OPENINGS, score.score)
