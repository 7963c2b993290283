"""Microseconds per step of choosing the next tokens: the logits processors and the sampler, without any model.

Usage: python benchmarks/sampling.py [--vocab 50257] [--batch 1 8] [--history 128] [--steps 200]

One round times every setting once, so that a change in the machine's speed meets all of them; the median of the rounds
and the fastest tenth are printed. Logits are random and peaked as a language model's are, several of them in turn.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mf_core.generation.config import GenerationConfig
from mf_core.generation.logits import Sampler, build_processors

SETTINGS = {
    "greedy": {},
    "sampling": {"do_sample": True},
    "top_k=5": {"do_sample": True, "top_k": 5},
    "top_p=0.9": {"do_sample": True, "top_p": 0.9},
    "repetition_penalty=1.2": {"repetition_penalty": 1.2},
    "all of them": {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.2},
}
VARIANTS = 8  # different logits in turn: one array over and over would be all in the cache and well predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", type=int, default=50257)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--history", type=int, default=128, help="ids in each row so far")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()

    print(f"numpy {np.__version__}, vocabulary {options.vocab}, {options.history} ids a row, {options.steps} steps")
    for batch in options.batch:
        print(f"batch {batch}")
        for name, times in measure(batch, options.vocab, options.history, options.steps).items():
            median, fast = np.percentile(times, [50, 10])
            print(f"  {name:24s} {median:8.0f} µs/step  (10th percentile {fast:.0f})")


def measure(batch: int, vocab: int, length: int, steps: int) -> dict[str, list[float]]:
    """Return the microseconds of each step for each of SETTINGS."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3.0, size=(VARIANTS, batch, vocab)).astype(np.float32)
    history = rng.integers(0, vocab, size=(batch, length)).tolist()  # lists, as generate keeps them
    runs = {}
    for name, settings in SETTINGS.items():
        config = GenerationConfig(**settings)
        runs[name] = (build_processors(config, [length] * batch), Sampler(config.do_sample, list(range(batch))))

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


if __name__ == "__main__":
    main()
