"""What int8 weights cost: the shipped gpt2_tiny on stories of its recipe's grammar that it was not trained on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from session import Session
from table import Figures, Row
from workers import ask_once

RECIPE = Path(__file__).parents[1] / "recipes" / "gpt2_tiny"
LENGTH = 96
SEED = 20_000  # training drew from seed 7


def measure(session: Session) -> list[Row]:
    """Return the rows of perplexity and of the likeliest tokens; both come out the same each time."""
    stories = session.settings.stories
    for _ in session.rounds("quality", 1):
        answer, failure = ask_once("quality:compare", stories=stories)

    def figures(engine: str, key: str) -> Figures:
        return Figures(f"{engine} weights", [answer[engine][key]] if answer else [], failure)

    return [
        Row("quality", f"perplexity of gpt2_tiny on {stories} held-out stories", "",
            figures("int8", "perplexity"), figures("fp32", "perplexity"), 1.01, higher=False),
        Row("quality", "likeliest tokens that are those of fp32", "%", figures("int8", "agreement"),
            figures("fp32", "agreement"), 0.97),
    ]  # fmt: skip


def compare(stories: int) -> Callable[[], dict]:
    import mindspore as ms
    import numpy as np

    from mf_core import AutoModel, AutoTokenizer

    sys.path.append(str(RECIPE))
    import corpus

    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    encoded = [tokenizer.encode(text)[:LENGTH] for text in corpus.build(2 * stories, SEED)]
    ids = np.array([each for each in encoded if len(each) == LENGTH][:stories], np.int32)
    if len(ids) != stories:
        raise SystemExit(f"only {len(ids)} stories have {LENGTH} tokens")

    def logits(**options: str) -> np.ndarray:
        return AutoModel.from_pretrained("gpt2_tiny", **options)(ms.Tensor(ids)).asnumpy()[:, :-1].astype(np.float64)

    def perplexity(values: np.ndarray) -> float:
        values = values - values.max(-1, keepdims=True)
        logs = np.take_along_axis(values, ids[:, 1:, None].astype(np.int64), 2)[..., 0] - np.log(np.exp(values).sum(-1))
        return float(np.exp(-logs.mean()))

    def answer() -> dict:
        full, held = logits(), logits(weight_dtype="int8")
        same = full.argmax(-1) == held.argmax(-1)
        return {
            "fp32": {"perplexity": perplexity(full), "agreement": 100.0},
            "int8": {"perplexity": perplexity(held), "agreement": 100 * float(same.mean())},
        }

    return answer
