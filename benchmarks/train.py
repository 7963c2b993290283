"""Training: GPT-2 of two sizes, in fp32 with AdamW, beside torch eager and ``torch.compile``.

Each engine runs in a process of its own, one after the other, in rounds. The first step is compilation, told apart.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Callable

from session import Session
from table import Row

SIZES = {
    "small": {"layers": 6, "width": 384, "heads": 6, "vocab": 8192, "length": 256, "rows": 8},
    "124m": {"layers": 12, "width": 768, "heads": 12, "vocab": 50257, "length": 256, "rows": 2},
}


def _data(size, steps):
    import numpy as np

    rng = np.random.default_rng(0)
    shape = (size["rows"], size["length"] + 1)
    return [rng.integers(0, size["vocab"] - 1, shape).astype(np.int32) for _ in range(steps)]


def _ours(size, steps):
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

    rows = [row for batch in _data(size, steps) for row in batch]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, batch_size=size["rows"], max_steps=steps, learning_rate=1e-4, logging_steps=steps,
            save_strategy="no",
        )  # fmt: skip
        Trainer(args, task="text_generation", model=model, train_dataset=rows, callbacks=Clock()).train()
    return times


def _torch(size, steps, compiled):
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
    for batch in _data(size, steps):
        start = time.perf_counter()
        loss = run(torch.tensor(batch).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return times


def ours(size: str, steps: int) -> Callable[[], dict]:
    return _measured(lambda: _ours(SIZES[size], steps), size)


def eager(size: str, steps: int) -> Callable[[], dict]:
    return _measured(lambda: _torch(SIZES[size], steps, compiled=False), size)


def compiled(size: str, steps: int) -> Callable[[], dict]:
    return _measured(lambda: _torch(SIZES[size], steps, compiled=True), size)


def _measured(run: Callable[[], list[float]], size: str) -> Callable[[], dict]:
    """Return what answers with tokens a second, the seconds of the first step, and the peak of memory in GB."""

    def answer() -> dict:
        times = run()
        tokens = SIZES[size]["rows"] * SIZES[size]["length"]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        return {"speed": tokens / statistics.median(times[2:]), "first": times[0], "peak": peak}

    return answer


ENGINES = {"ours": "train:ours", "torch eager": "train:eager", "torch.compile": "train:compiled"}


def measure(session: Session, size: str) -> list[Row]:
    """Return the rows of a size: speed and the peak of memory."""
    settings = session.settings
    rounds = -(-settings.rounds // 2)  # one is long
    name, (first, *peers) = "train" if size == "small" else f"train-{size}", ENGINES
    figures = session.fresh(name, rounds, ENGINES, size=size, steps=settings.steps)
    what = "train {layers}x{width}, vocabulary {vocab}, {rows}x{length}, fp32".format(**SIZES[size])
    note = f"first step {figures(first, 'first')} s"
    speed = [
        Row(name, what, "tokens/s", figures(first, "speed"), figures(peer, "speed"), 1.0, note=note) for peer in peers
    ]
    memory = [
        Row(name, "peak of memory of it", "GB", figures(first, "peak"), figures(peer, "peak"),
            1.2 if peer == "torch eager" else None, higher=False)
        for peer in peers
    ]  # fmt: skip
    return speed + memory
