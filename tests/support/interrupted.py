"""Generations that are interrupted at random points, and calls from many threads, in one process.

``python -m tests.support.interrupted INTERRUPTIONS RUNS SEED`` prints the counts as JSON. After an interruption, the
pipeline gives what it gave before; threads get what serial calls get.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mf_core import GPT2Config, GPT2LMHeadModel, pipeline, set_seed

PROMPT = "Once upon a time"
OPTIONS = {"max_new_tokens": 6, "do_sample": True, "seed": 3}


class Stop(Exception):
    """Raised by the user's own code."""


#: The last streams that were left unfinished.
kept: list[Any] = []


def close_early(pipe: Any, draw: random.Random) -> None:
    """Take some of a stream, and close it."""
    stream = pipe(PROMPT, stream=True, **OPTIONS)
    for _ in range(draw.randint(0, 5)):
        next(stream, None)
    stream.close()


def throw(pipe: Any, draw: random.Random) -> None:
    """Take some of a stream, and raise while it is kept."""
    stream = pipe(PROMPT, stream=True, **OPTIONS)
    kept.append(stream)
    del kept[:-3]
    for _ in range(draw.randint(0, 5)):
        next(stream, None)
    raise draw.choice((KeyboardInterrupt, Stop, MemoryError))


def leave(pipe: Any, draw: random.Random) -> None:
    """Raise in the loop over a stream, which is then collected."""
    wanted = draw.randint(0, 5)
    for number, _ in enumerate(pipe(PROMPT, stream=True, **OPTIONS)):
        if number == wanted:
            raise Stop


def signal_at_random(pipe: Any, draw: random.Random, longest: float) -> None:
    """Send SIGINT, as Ctrl-C does, after a random time."""
    timer = threading.Timer(draw.uniform(0, longest), os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        if draw.random() < 0.5:
            list(pipe(PROMPT, stream=True, **OPTIONS))
        else:
            pipe(PROMPT, **OPTIONS)
    finally:
        while timer.is_alive():  # a signal that comes late comes here
            time.sleep(0.001)


def interruptions(pipe: Any, count: int, seed: int) -> dict[str, int]:
    """Interrupt so many generations; return how they ended."""
    draw, tally = random.Random(seed), Counter[str]()
    pipe(PROMPT, **OPTIONS)
    begin = time.monotonic()
    expected = pipe(PROMPT, **OPTIONS)
    longest = 1.2 * (time.monotonic() - begin)
    ways: list[Callable[..., None]] = [close_early, throw, leave]
    for number in range(count):
        way = "signal" if number % 4 == 3 else ways[number % 4].__name__
        try:
            try:
                signal_at_random(pipe, draw, longest) if way == "signal" else ways[number % 4](pipe, draw)
                outcome = "ended"
            except (KeyboardInterrupt, Stop, MemoryError) as error:
                outcome = type(error).__name__
        except KeyboardInterrupt:  # within the handling of another
            outcome = "KeyboardInterrupt"
        tally[f"{way}: {outcome}"] += 1
        assert pipe(PROMPT, **OPTIONS) == expected, (number, way, outcome)
    return dict(sorted(tally.items()))


def small() -> Any:
    """Return a pipeline with another model."""
    set_seed(2)
    config = GPT2Config(vocab_size=1024, hidden_size=16, num_layers=1, num_heads=2, seq_length=64, pad_token_id=1,
                        bos_token_id=0, eos_token_id=0, unk_token_id=0)  # fmt: skip
    return pipeline("text_generation", GPT2LMHeadModel(config), tokenizer="gpt2_tiny")


def threads(pipes: list[Any], runs: int, seed: int) -> dict[str, int]:
    """Let eight threads call two models at once, in so many runs; return the number of calls that were compared."""
    draw, calls = random.Random(seed), 0
    prompts = ["Once", PROMPT, f"{PROMPT}, there was a little fox", "The cat sat on the mat and"]
    expected: dict[tuple[int, str, int], Any] = {}

    def call(work: tuple[int, str, int]) -> Any:
        which, prompt, count = work
        return pipes[which](prompt, max_new_tokens=count, do_sample=True, seed=5)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(runs):
            work = [(draw.randrange(2), draw.choice(prompts), draw.randint(1, 4)) for _ in range(24)]
            found = list(pool.map(call, work))
            for item, result in zip(work, found, strict=True):
                if item not in expected:
                    expected[item] = call(item)
                assert result == expected[item], item
                calls += 1
    return {"runs": runs, "calls": calls}


def main(interrupted: int, runs: int, seed: int) -> dict[str, Any]:
    """Run both."""
    pipes = [pipeline("text_generation", "gpt2_tiny"), small()]
    return {"threads": threads(pipes, runs, seed), "interruptions": interruptions(pipes[0], interrupted, seed)}


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
