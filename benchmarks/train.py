"""Training speed: GPT-2 of two sizes, in fp32 with AdamW, beside torch eager and ``torch.compile``.

    python benchmarks/train.py [--rounds 3] [--steps 6] [--sizes small 124m] [--engines ours eager compile]

Each engine runs in a process of its own, one after the other, in rounds; the table has medians over the rounds, and the
median of the rounds' ratios. The first step is compilation and is told apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

SIZES = {
    "small": {"layers": 6, "width": 384, "heads": 6, "vocab": 8192, "length": 256, "rows": 8},
    "124m": {"layers": 12, "width": 768, "heads": 12, "vocab": 50257, "length": 256, "rows": 2},
}


def data(size, steps):
    import numpy as np

    rng = np.random.default_rng(0)
    shape = (size["rows"], size["length"] + 1)
    return [rng.integers(0, size["vocab"] - 1, shape).astype(np.int32) for _ in range(steps)]


def ours(size, steps):
    import tempfile

    from mf_core import Callback, GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

    set_seed(0)
    off = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=size["vocab"], hidden_size=size["width"], num_layers=size["layers"], num_heads=size["heads"],
        seq_length=size["length"], pad_token_id=size["vocab"] - 1, **off,
    ))  # fmt: skip
    times = []

    class Clock(Callback):
        def on_step_begin(self, args, state, control, **kwargs):
            times.append(time.perf_counter())

        def on_step_end(self, args, state, control, loss=None, **kwargs):
            loss.asnumpy()  # wait for the step
            times[-1] = time.perf_counter() - times[-1]

    rows = [row for batch in data(size, steps) for row in batch]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, batch_size=size["rows"], max_steps=steps, learning_rate=1e-4, logging_steps=steps,
            save_strategy="no",
        )  # fmt: skip
        Trainer(args, task="text_generation", model=model, train_dataset=rows, callbacks=Clock()).train()
    return times


def torch_steps(size, steps, compiled):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=size["layers"], n_embd=size["width"], n_head=size["heads"], vocab_size=size["vocab"],
        n_positions=size["length"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)

    def loss_of(ids):
        logits = model(ids[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.reshape(-1, size["vocab"]), ids[:, 1:].reshape(-1))

    run = torch.compile(loss_of) if compiled else loss_of
    times = []
    for batch in data(size, steps):
        start = time.perf_counter()
        loss = run(torch.tensor(batch).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return times


ENGINES = {
    "ours": ours,
    "eager": lambda size, steps: torch_steps(size, steps, False),
    "compile": lambda size, steps: torch_steps(size, steps, True),
}


def child(engine, size, steps):
    times = ENGINES[engine](SIZES[size], steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tokens = SIZES[size]["rows"] * SIZES[size]["length"]
    step = statistics.median(times[2:])
    print("RESULT " + json.dumps({"speed": tokens / step, "first": times[0], "peak": peak}), flush=True)


def measure(engine, size, steps):
    command = [sys.executable, __file__, "--child", engine, size, str(steps)]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{engine} failed:\n{result.stderr[-3000:]}")
    return json.loads(lines[0][len("RESULT ") :])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        engine, size, steps = options.child
        child(engine, size, int(steps))
        return
    for size in options.sizes:
        results = {engine: [] for engine in options.engines}
        for _ in range(options.rounds):
            for engine in options.engines:
                results[engine].append(measure(engine, size, options.steps))
        print(f"\n{size}: {SIZES[size]}")
        print(f"{'engine':10}{'tokens/s':>10}{'first step':>12}{'peak memory':>13}   ours / it, by round")
        for engine, runs in results.items():
            speed, first, peak = (statistics.median(run[key] for run in runs) for key in ("speed", "first", "peak"))
            ratios = [mine["speed"] / run["speed"] for mine, run in zip(results.get("ours", runs), runs, strict=True)]
            print(
                f"{engine:10}{speed:10.0f}{first:10.1f} s{peak / 1e9:10.2f} GB   {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
