"""Generating text greedily: one row, rows of mixed lengths, and the time to the first token of a long prompt.

Every engine runs in a separate process that has loaded the model and compiled what it compiles; all take turns.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from session import Session, Settings
from table import Figures, Row
from workers import Worker

#: Name in the table -> what makes it, and the bytes that it reads for each weight.
ENGINES = {
    "transformers, torch eager fp32": ("engines:torch_eager", {}, 4),
    "ours fp32": ("engines:ours", {}, 4),
    "ours bf16 weights": ("engines:ours", {"weight_dtype": "bfloat16"}, 2),
    "ours int8 weights": ("engines:ours", {"weight_dtype": "int8"}, 1),
    "ctranslate2 int8": ("engines:ctranslate2_int8", {}, 1),
    "onnxruntime int8": ("engines:onnxruntime_int8", {}, 1),
}
TORCH, FP32, BF16, INT8, *PEERS_INT8 = ENGINES
PREFILL = 512


@dataclass(frozen=True)
class Case:
    """Prompts of these lengths, ``new`` tokens for each, ``repeats`` times a round; ours, its peer and the target."""

    what: str
    lengths: tuple[int, ...]
    new: int
    repeats: int
    pairs: tuple[tuple[str, str, float | None], ...]

    def request(self) -> dict:
        """Return what the engines are asked: the same ids each time."""
        draw = random.Random(0)
        prompts = [[draw.randrange(50256) for _ in range(length)] for length in self.lengths]
        return {"prompts": prompts, "new": self.new, "repeats": self.repeats}


def cases(settings: Settings) -> dict[str, Case]:
    model, new = settings.model, settings.new
    return {
        "decode": Case(
            f"decode, {model}, 1 row, 32 + {new}", (32,), new, 1,
            ((FP32, TORCH, 1.2), (BF16, TORCH, 2.0), (INT8, TORCH, 3.0), *((INT8, peer, None) for peer in PEERS_INT8)),
        ),
        "batch": Case(
            f"decode, {model}, 8 rows, 8…64 + {new}", tuple(range(8, 65, 8)), new, 1, ((FP32, TORCH, 1.2),)
        ),
        "prefill": Case(f"prefill, {model}, {PREFILL}", (PREFILL,), 1, 3, ((FP32, TORCH, 1.0),)),
    }  # fmt: skip


def measure(session: Session, names: Iterable[str]) -> list[Row]:
    """Return the rows of the cases that are named."""
    settings, folder = session.settings, session.checkpoint
    chosen = {name: case for name, case in cases(settings).items() if name in names}
    turns = [(name, engine) for name, case in chosen.items() for engine in ENGINES
             if any(engine in pair for pair in case.pairs)]  # fmt: skip
    first: dict[tuple[str, str], dict | None] = {}
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    limits: list[dict] = []
    with ExitStack() as stack:
        machine = stack.enter_context(Worker("machine:limits"))
        engines: dict[str, Worker] = {}
        for name, engine in sorted(turns, key=lambda turn: list(ENGINES).index(turn[1])):
            if engine not in engines:
                print(f"{engine}: loads, compiles, warms up", file=sys.stderr, flush=True)
                target, options, _ = ENGINES[engine]
                engines[engine] = stack.enter_context(Worker(target, folder=folder, **options))
            first[name, engine] = engines[engine].ask(**{**chosen[name].request(), "repeats": 1})
        for _ in session.rounds(" ".join(chosen), settings.rounds):
            limits.append(machine.ask())
            if machine.failure:
                raise SystemExit(f"the machine's limits cannot be measured: {machine.failure}")
            for name, engine in turns:
                answer = engines[engine].ask(**chosen[name].request())
                if answer:
                    seconds[name, engine].append(answer["seconds"])
        failures = {engine: worker.failure for engine, worker in engines.items()}
    rows = []
    for name, case in chosen.items():
        for engine, peer, target in case.pairs:
            ours, theirs = (
                _figures(each, seconds[name, each], failures[each], None if name == "prefill" else case)
                for each in (engine, peer)
            )
            share = _share(name, case, ours, limits, settings.layers, session.checkpoint_bytes * ENGINES[engine][2] / 4)
            rows.append(Row(
                name, case.what, "ms" if name == "prefill" else "tokens/s", ours, theirs, target,
                higher=name != "prefill", limit=share, note=_note(first, name, engine, peer, case),
            ))  # fmt: skip
    return rows


def _figures(engine: str, seconds: list[float], failure: str, case: Case | None) -> Figures:
    """Return milliseconds, or tokens a second of a case."""
    if case is None:
        return Figures(engine, [each * 1e3 for each in seconds], failure)
    return Figures(engine, [len(case.lengths) * case.new / each for each in seconds], failure)


def _share(
    name: str, case: Case, ours: Figures, limits: list[dict], layers: int, size: float
) -> tuple[str, list[float]] | None:
    """Return the share of the limit: reading all weights once a token, or the products that the prompt needs."""
    both = list(zip(ours.values, limits, strict=False))
    if name == "decode":
        return "memory's speed", [value * size / limit["memory"] for value, limit in both]
    if name == "prefill":
        width, (length,) = 768, case.lengths
        linear = 2 * 12 * width * width * length  # four of the width by itself, two of four times that
        attention = 2 * length * length * width  # scores and sums, of what is not after a position
        operations = layers * (linear + attention) + 2 * 50257 * width
        return "GEMM's peak", [operations / (value / 1e3) / limit["products"] for value, limit in both]
    return None


def _note(first: dict, name: str, engine: str, peer: str, case: Case) -> str:
    """Say how long the first call took, compiling included, and how many of the new ids are the peer's."""
    ours, theirs = first[name, engine], first[name, peer]
    notes = [f"first call {ours['seconds']:.1f} s"] if ours else []
    if ours and theirs:
        new = [(mine[length:], other[length:]) for mine, other, length
               in zip(ours["ids"], theirs["ids"], case.lengths, strict=True)]  # fmt: skip
        pairs = [pair for mine, other in new for pair in zip(mine, other, strict=True)]
        notes.append(f"{sum(a == b for a, b in pairs) / len(pairs):.0%} of the ids equal")
    return "; ".join(notes)
