"""Proposed tokens: text that they are proposed for beside the same model's without, in one process.

The weights are random. Greedy text of such a model repeats itself, which is what prompt look-up is for; drawn text does
not. Its own weights in int8 are the draft: what a smaller random model is right about says nothing of trained ones.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from session import Session
from table import Figures, Row
from workers import Worker

GREEDY, DRAWN = {"do_sample": False}, {"do_sample": True, "seed": 1}
LOOK_UP = {"prompt_lookup_num_tokens": 7}
#: What is measured -> how text is chosen, what else proposing takes, and whether the draft does.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "prompt look-up, text that repeats itself": (GREEDY, LOOK_UP, False),
    "prompt look-up, text that does not": (DRAWN, LOOK_UP, False),
    "its own int8 weights as a draft": (GREEDY, {}, True),
}


def measure(session: Session) -> list[Row]:
    """Return a row for each way of proposing."""
    settings = session.settings
    seconds: dict[tuple[str, bool], list[float]] = defaultdict(list)
    notes: dict[str, str] = {}
    with Worker("speculation:texts", folder=session.checkpoint) as worker:

        def ask(case: str, proposing: bool) -> dict | None:
            chosen, proposer, draft = CASES[case]
            options = {**chosen, **proposer} if proposing else chosen
            return worker.ask(options=options, drafted=draft and proposing, new=settings.new)

        print("speculation: loads, compiles, warms up", file=sys.stderr, flush=True)
        for case in CASES:
            plain, proposed = ask(case, False), ask(case, True)
            if plain and proposed:
                same = sum(a == b for a, b in zip(plain["ids"], proposed["ids"], strict=True)) / settings.new
                notes[case] = f"{settings.new / proposed['passes']:.1f} tokens a pass; {same:.0%} of the ids equal"
        for _ in session.rounds("speculation", settings.rounds):
            for case in CASES:
                for proposing in (True, False):
                    answer = ask(case, proposing)
                    if answer:
                        seconds[case, proposing].append(answer["seconds"])
    return [
        Row("speculation", f"decode, {settings.model}, 1 row, 32 + {settings.new}, {case}", "tokens/s",
            *(Figures(name, [settings.new / each for each in seconds[case, proposing]], worker.failure)
              for name, proposing in (("ours fp32, proposing", True), ("ours fp32, plain", False))),
            note=notes.get(case, ""))
        for case in CASES
    ]  # fmt: skip


def texts(folder: str) -> Callable[..., dict]:
    """Return what answers with the seconds, the new ids and the passes of one text."""
    from mf_core import AutoModel
    from mf_core.generation.config import GenerationConfig
    from mf_core.generation.engine import run
    from mf_core.generation.sequences import prepare

    model = AutoModel.from_pretrained(folder)
    draft = AutoModel.from_pretrained(folder, weight_dtype="int8")
    draw = random.Random(0)
    prompt = [draw.randrange(50256) for _ in range(32)]

    def answer(options: dict, drafted: bool, new: int) -> dict:
        config = GenerationConfig(max_new_tokens=new, **options)
        (sequence,) = sequences = prepare(model, [prompt], config)
        start = time.perf_counter()
        passes = sum(1 for _ in run(model, sequences, config, assistant=draft if drafted else None))
        return {"seconds": time.perf_counter() - start, "ids": sequence.ids[32:], "passes": passes}

    return answer
