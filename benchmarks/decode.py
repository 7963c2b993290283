"""Tokens per second of cached greedy decoding, GPT-2 124M's shape with random weights, beside transformers on torch.

Usage: python benchmarks/decode.py [--layers 12] [--new 64] [--runs 5]

The two take turns in one process (A B A B …), each warmed up first; medians and the ratio of each pair are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    import torch
    import transformers

    from mf_core import AutoModel, get_backend

    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=options.layers)).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        start = time.perf_counter()
        ours = AutoModel.from_pretrained(folder)
        print(f"load: {time.perf_counter() - start:.2f} s, with the import of MindSpore; {get_backend().describe()}")
        ids = np.random.default_rng(0).integers(0, 50256, options.prompt)

        def run_ours() -> list[int]:
            return ours.generate(ids, max_new_tokens=options.new, do_sample=False, eos_token_id=None)[0]

        def run_theirs() -> list[int]:
            prompt = torch.tensor(ids)[None]
            return theirs.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=options.new, do_sample=False,
                eos_token_id=None, pad_token_id=0,
            )[0].tolist()  # fmt: skip

        start = time.perf_counter()
        first = run_ours()
        seconds = time.perf_counter() - start
        print(f"first call: {seconds:.2f} s, compiling included; equal ids: {first == run_theirs()}")
        speeds: dict[str, list[float]] = {"ours": [], "transformers": []}
        for _ in range(options.runs):
            for name, run in (("ours", run_ours), ("transformers", run_theirs)):
                start = time.perf_counter()
                run()
                speeds[name].append(options.new / (time.perf_counter() - start))
        for name, values in speeds.items():
            spread = f"(min {min(values):.1f}, max {max(values):.1f})"
            print(f"{name:13s} {statistics.median(values):6.1f} tokens/s  {spread}")
        ratios = [a / b for a, b in zip(speeds["ours"], speeds["transformers"], strict=True)]
        print(f"ratio         {statistics.median(ratios):6.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")


if __name__ == "__main__":
    main()
