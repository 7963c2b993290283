"""Build the training text; what it promises is said in recipes/common/stories.py.

python corpus.py --count 20000 --seed 7 --out train.jsonl --held-out 500 --held-out-file valid.jsonl
"""

from collections.abc import Sequence

import _common  # noqa: F401
import stories
from grammar import generate
from stories import read_jsonl, write_jsonl

__all__ = ["build", "main", "read_jsonl", "split", "write_jsonl"]


def build(count: int, seed: int) -> list[str]:
    """Return `count` distinct stories; see `stories.build`."""
    return stories.build(generate, count, seed)


def split(count: int, held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """Return `count` stories to train on and `held_out` others; see `stories.split`."""
    return stories.split(generate, count, held_out, seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the stories the command line asks for."""
    stories.main(generate, arguments)


if __name__ == "__main__":
    main()
