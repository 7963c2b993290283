"""Training: GPT-2 of two sizes with AdamW: in fp32 beside torch eager and ``torch.compile``, in bf16 beside autocast.

Each engine trains in a separate process, a few steps per turn. The first one, compilation, is reported separately.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Thread
from typing import Any

from session import Session
from table import Figures, Row
from workers import Worker

SIZES = {
    "small": {"layers": 6, "width": 384, "heads": 6, "vocab": 8192, "length": 256, "rows": 8},
    "124m": {"layers": 12, "width": 768, "heads": 12, "vocab": 50257, "length": 256, "rows": 2},
}


def _batches(size: dict) -> Iterator[Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    while True:
        yield rng.integers(0, size["vocab"] - 1, (size["rows"], size["length"] + 1)).astype(np.int32)


class _Turns:
    """Training in a thread that takes steps when it is asked to.

    Args:
        train: Trains for ever; it calls :meth:`wait` before each step and :meth:`done` after it.
    """

    def __init__(self, train: Callable[[_Turns], None]) -> None:
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._taken: SimpleQueue[float | Exception] = SimpleQueue()
        Thread(target=self._run, args=(train,), daemon=True).start()

    def _run(self, train: Callable[[_Turns], None]) -> None:
        try:
            train(self)
        except Exception as error:  # raised where the step is asked for
            self._taken.put(error)

    def wait(self) -> None:
        self._asked.get()
        self._start = time.perf_counter()

    def done(self) -> None:
        self._taken.put(time.perf_counter() - self._start)

    def step(self) -> float:
        """Return the seconds of the next step."""
        self._asked.put(None)
        seconds = self._taken.get()
        if isinstance(seconds, Exception):
            raise seconds
        return seconds


def _ours(turns: _Turns, size: dict, dtype: str) -> None:
    from mf_core import Callback, GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

    set_seed(0)
    off = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=size["vocab"], hidden_size=size["width"], num_layers=size["layers"], num_heads=size["heads"],
        seq_length=size["length"], pad_token_id=size["vocab"] - 1, **off,
    ))  # fmt: skip

    class Clock(Callback):
        def on_step_begin(self, args, state, control, **kwargs):
            turns.wait()

        def on_step_end(self, args, state, control, loss=None, **kwargs):
            loss.asnumpy()  # wait for the step
            turns.done()

    batches = _batches(size)
    rows = [row for _ in range(8) for row in next(batches)]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, batch_size=size["rows"], max_steps=10**6, learning_rate=1e-4, logging_steps=10**6,
            save_strategy="no", dtype=dtype,
        )  # fmt: skip
        Trainer(args, task="text_generation", model=model, train_dataset=rows, callbacks=Clock()).train()


def _torch(turns: _Turns, size: dict, compiled: bool, rounded: bool = False) -> None:
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
    for batch in _batches(size):
        turns.wait()
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            loss = run(torch.tensor(batch).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        turns.done()


def ours(size: str, dtype: str = "float32") -> Callable[[int], dict]:
    return _answers(lambda turns: _ours(turns, SIZES[size], dtype))


def ours_rounded(size: str) -> Callable[[int], dict]:
    return ours(size, "bfloat16")


def eager(size: str) -> Callable[[int], dict]:
    return _answers(lambda turns: _torch(turns, SIZES[size], compiled=False))


def autocast(size: str) -> Callable[[int], dict]:
    return _answers(lambda turns: _torch(turns, SIZES[size], compiled=False, rounded=True))


def compiled(size: str) -> Callable[[int], dict]:
    return _answers(lambda turns: _torch(turns, SIZES[size], compiled=True))


def _answers(train: Callable[[_Turns], None]) -> Callable[[int], dict]:
    """Return what takes steps, and answers with the seconds of each and the peak of memory until then in GB."""
    turns = _Turns(train)

    def answer(steps: int) -> dict:
        seconds = [turns.step() for _ in range(steps)]
        return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}

    return answer


_WARM_UP = 3  # steps

ENGINES = {
    "ours": "train:ours", "ours, bf16": "train:ours_rounded",
    "torch eager": "train:eager", "torch.compile": "train:compiled", "torch autocast to bf16": "train:autocast",
}  # fmt: skip
# Ours, what it is compared with, and the least ratio asked for; then the most of memory.
_PAIRS = (
    ("ours", "torch eager", 1.0, 1.2),
    ("ours", "torch.compile", 1.0, None),
    ("ours, bf16", "torch eager", 1.0, None),
    ("ours, bf16", "torch autocast to bf16", None, None),
)


def measure(session: Session, size: str) -> list[Row]:
    """Return the rows of a size: speed and the peak of memory."""
    settings = session.settings
    name = "train" if size == "small" else f"train-{size}"
    tokens = SIZES[size]["rows"] * SIZES[size]["length"]
    first: dict[str, dict | None] = {}
    answers: dict[str, list[dict]] = {engine: [] for engine in ENGINES}
    with ExitStack() as stack:
        engines = {engine: stack.enter_context(Worker(target, size=size)) for engine, target in ENGINES.items()}
        for engine, worker in engines.items():
            print(f"{engine}: compiles, warms up", file=sys.stderr, flush=True)
            first[engine] = worker.ask(steps=_WARM_UP)
        for _ in session.rounds(name, settings.rounds * 2):
            for engine, worker in engines.items():
                answer = worker.ask(steps=settings.steps)
                answers[engine] += [answer] if answer else []
        failures = {engine: worker.failure for engine, worker in engines.items()}
    what = "train {layers}x{width}, vocabulary {vocab}, {rows}x{length}".format(**SIZES[size])
    speeds, peaks, notes = {}, {}, {}
    for engine, given in answers.items():
        each_speed = [tokens / statistics.median(answer["seconds"]) for answer in given]
        speeds[engine] = Figures(engine, each_speed, failures[engine])
        peaks[engine] = Figures(engine, [answer["peak"] for answer in given], failures[engine])
        begun = first[engine]
        notes[engine] = f"first step {begun['seconds'][0]:.1f} s" if begun else ""
    speed = [
        Row(name, what, "tokens/s", speeds[mine], speeds[peer], least, note=notes[mine])
        for mine, peer, least, _ in _PAIRS
    ]  # fmt: skip
    memory = [
        Row(name, "peak of memory of it", "GB", peaks[mine], peaks[peer], most, higher=False)
        for mine, peer, _, most in _PAIRS
    ]  # fmt: skip
    return speed + memory
