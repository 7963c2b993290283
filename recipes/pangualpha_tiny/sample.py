"""Generates stories with a checkpoint and scores them by the grammar.

    python recipes/pangualpha_tiny/sample.py [--model pangualpha_tiny] [--count 200] [--temperature 1.0]
"""

import _common  # noqa: F401
import sampling
import score

OPENINGS = ("从前，", "很久很久以前，", "森林深处的")

if __name__ == "__main__":
    sampling.main("pangualpha_tiny", OPENINGS, score.score)
