"""Training text of a grammar: distinct stories, the same for the same seed on every platform and version of Python."""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

#: Writes one story.
Generate = Callable[[random.Random], str]

_PATIENCE = 1000


def build(generate: Generate, count: int, seed: int) -> list[str]:
    """Return `count` distinct stories. A larger count with the same seed begins with the same stories.

    Raises ValueError when the grammar seems to have no new story left.
    """
    rng = random.Random(seed)
    stories: dict[str, None] = {}
    repeats = 0
    while len(stories) < count:
        story = generate(rng)
        repeats = repeats + 1 if story in stories else 0
        if repeats > _PATIENCE:
            raise ValueError(f"no new story in {_PATIENCE} tries after {len(stories)} of {count}: ask for fewer")
        stories[story] = None
    return list(stories)


def split(generate: Generate, count: int, held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """Return `count` stories to train on, those of `build`, and `held_out` others that are not in them."""
    stories = build(generate, count + held_out, seed)
    return stories[:count], stories[count:]


def read_jsonl(lines: Iterable[str]) -> list[str]:
    """Return the `text` of each JSON line; blank lines are skipped."""
    return [json.loads(line)["text"] for line in lines if line.strip()]


def write_jsonl(texts: Sequence[str], path: Path) -> None:
    """Write one `{"text": ...}` a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def main(generate: Generate, arguments: Sequence[str] | None = None) -> None:
    """Write the stories the command line asks for."""
    parser = argparse.ArgumentParser(description="Write distinct stories, one JSON line each.")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=0, metavar="COUNT", help="stories kept out of --out")
    parser.add_argument("--held-out-file", type=Path, metavar="FILE", help="where to write them")
    options = parser.parse_args(arguments)
    if (options.held_out > 0) != (options.held_out_file is not None):
        parser.error("--held-out and --held-out-file belong together")
    train, held_out = split(generate, options.count, options.held_out, options.seed)
    write_jsonl(train, options.out)
    if options.held_out_file:
        write_jsonl(held_out, options.held_out_file)
    characters = sum(map(len, train)) / max(len(train), 1)
    print(f"{len(train)} stories, {characters:.1f} characters each, in {options.out}")
