"""Tokens per second of cached greedy decoding, GPT-2 124M's shape with random weights, beside transformers on torch.

Usage: python benchmarks/decode.py [--layers 12] [--batch 1] [--new 128] [--runs 5] [--weights float32 bfloat16 int8]

transformers computes in fp32; ours once for each type that the weights are held in. All take turns in one process
(A B C A B C …), each warmed up first. Printed are medians, the ratio of each round to transformers, and what share it
is of reading all weights once a token, at the speed of memory measured in the same rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial

import numpy as np


def read_speed(gigabytes: float = 0.5) -> float:
    """Bytes a second that all threads together read from memory, measured on sums."""
    from concurrent.futures import ThreadPoolExecutor

    from mf_cpu_backend.cores import core_count

    count = core_count()
    data = np.ones(int(gigabytes * 1e9 / 8))
    parts = np.array_split(data, count * 8)
    with ThreadPoolExecutor(count) as pool:
        start = time.perf_counter()
        list(pool.map(np.sum, parts))
        return data.nbytes / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--weights", nargs="+", default=["float32", "bfloat16", "int8"])
    options = parser.parse_args()

    import torch
    import transformers

    from mf_core import AutoModel, get_backend

    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=options.layers)).eval()
    rng = np.random.default_rng(0)
    # Of one length each, so that neither side pays for padding.
    ids = rng.integers(0, 50256, (options.batch, options.prompt))

    def run_theirs() -> list[list[int]]:
        prompt = torch.tensor(ids)
        return theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=options.new, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        ).tolist()  # fmt: skip

    engines, read = {"transformers": run_theirs}, {"transformers": 4.0}
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        expected = run_theirs()
        for dtype in options.weights:
            model = AutoModel.from_pretrained(folder, **({} if dtype == "float32" else {"weight_dtype": dtype}))
            name = f"ours, {dtype}"
            engines[name] = partial(
                model.generate, ids, max_new_tokens=options.new, do_sample=False, eos_token_id=None
            )
            read[name] = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0}[dtype]
            start = time.perf_counter()
            found = engines[name]()
            seconds = time.perf_counter() - start
            equal = np.mean(np.array(found) == np.array(expected))
            print(f"{name}: first call {seconds:.2f} s, compiling included; {equal:.0%} of the ids are transformers'")
        print(get_backend().describe())
        speeds: dict[str, list[float]] = {name: [] for name in engines}
        limits = []
        for _ in range(options.runs):
            limits.append(read_speed())
            for name, run in engines.items():
                start = time.perf_counter()
                run()
                speeds[name].append(options.batch * options.new / (time.perf_counter() - start))
        weights = sum(parameter.numel() for parameter in theirs.parameters())
        limit = statistics.median(limits)
        print(f"{weights:,} weights; memory is read at {limit / 1e9:.1f} GB/s")
        for name, values in speeds.items():
            ratios = [a / b for a, b in zip(values, speeds["transformers"], strict=True)]
            share = statistics.median(values) / options.batch * weights * read[name] / limit
            print(
                f"{name:15s} {statistics.median(values):7.1f} tokens/s ({min(values):.1f} to {max(values):.1f}); "
                f"ratio {statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
                f"{share:.0%} of memory's speed"
            )


if __name__ == "__main__":
    main()
