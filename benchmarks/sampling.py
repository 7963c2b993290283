"""Microseconds per step of choosing the next tokens: the logits processors and the sampler, without any model.

Each step times every setting once, so that a change in the machine's speed meets all of them. Logits are random and
peaked as a language model's are, several of them in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from session import Session
from table import Figures, Row
from workers import ask_once

from mf_core.generation.config import GenerationConfig
from mf_core.generation.logits import Sampler
from mf_core.generation.processors import build_processors

SETTINGS = {
    "greedy": {},
    "sampling": {"do_sample": True},
    "top_k=5": {"do_sample": True, "top_k": 5},
    "top_p=0.9": {"do_sample": True, "top_p": 0.9},
    "repetition_penalty=1.2": {"repetition_penalty": 1.2},
    "all of them": {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.2},
}
VOCAB, HISTORY = 50257, 128  # logits of a row, and ids in it so far
VARIANTS = 8  # different logits in turn: one array over and over would be all in the cache and well predicted


def measure(session: Session) -> list[Row]:
    """Return a row for each number of rows and each setting."""
    rows = []
    for batch in (1, 8):
        for _ in session.rounds("sampling", 1):
            answer, failure = ask_once("sampling:times", batch=batch, steps=40 * session.settings.rounds)
        rows += [
            Row("sampling", f"choose the next token, {name}, {batch} of {VOCAB:,} logits", "µs",
                Figures("ours", answer[name] if answer else [], failure), higher=False)
            for name in SETTINGS
        ]  # fmt: skip
    return rows


def times(batch: int, steps: int) -> Callable[[], dict[str, list[float]]]:
    """Return what answers with the microseconds of each step for each of SETTINGS."""
    return lambda: _times(batch, steps)


def _times(batch: int, steps: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3.0, size=(VARIANTS, batch, VOCAB)).astype(np.float32)
    history = rng.integers(0, VOCAB, size=(batch, HISTORY)).tolist()  # lists, as generate keeps them
    runs = {}
    for name, settings in SETTINGS.items():
        config = GenerationConfig(**settings)
        runs[name] = (build_processors(config, [HISTORY] * batch), Sampler(config.do_sample, list(range(batch))))

    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-VARIANTS, steps):
        for name, (processors, sampler) in runs.items():
            start = time.perf_counter()
            out = logits[number % VARIANTS]
            for processor in processors:
                out = processor(history, out)
            sampler(out)
            if number >= 0:  # those before are to warm up
                times[name].append((time.perf_counter() - start) * 1e6)
    return times
