"""Beam search: the beams of one prompt beside as many prompts, in one process.

Both take passes over the same number of rows; beams copy rows of the cache beside, and choose among all their tokens.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable

from session import Session
from table import Figures, Row
from workers import Worker

BEAMS = 4


def measure(session: Session) -> list[Row]:
    """Return the row of 4 beams."""
    settings = session.settings
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with Worker("beams:texts", folder=session.checkpoint) as worker:
        print("beams: loads, warms up", file=sys.stderr, flush=True)
        for searching in (True, False):
            worker.ask(searching=searching, new=settings.new)
        for _ in session.rounds("beams", settings.rounds):
            for searching in seconds:
                answer = worker.ask(searching=searching, new=settings.new)
                if answer:
                    seconds[searching].append(answer)
    costs = [beams / rows for beams, rows in zip(*seconds.values(), strict=True)]
    return [
        Row("beams", f"decode, {settings.model}, 32 + {settings.new}, {BEAMS} beams beside {BEAMS} rows", "tokens/s",
            *(Figures(name, [BEAMS * settings.new / each for each in seconds[searching]], worker.failure)
              for name, searching in ((f"ours fp32, {BEAMS} beams", True), (f"ours fp32, {BEAMS} rows", False))),
            note=f"beams take {statistics.median(costs):.2f} of the time" if costs else "")
    ]  # fmt: skip


def texts(folder: str) -> Callable[..., float]:
    """Return what answers with the seconds of a search, or of texts for as many prompts."""
    from mf_core import AutoModel

    model = AutoModel.from_pretrained(folder)
    draw = random.Random(0)
    prompts = [[draw.randrange(50256) for _ in range(32)] for _ in range(BEAMS)]

    def answer(searching: bool, new: int) -> float:
        options = {"max_new_tokens": new, "do_sample": False, "eos_token_id": None}
        start = time.perf_counter()
        if searching:
            model.generate(prompts[0], num_beams=BEAMS, **options)
        else:
            model.generate(prompts, **options)
        return time.perf_counter() - start

    return answer
