"""Answering questions by a part of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..tokenization.fast import FastTokenizer
from ..tokenization.rows import Row
from .text_pipeline import TextPipeline, softmax


class QuestionAnsweringPipeline(TextPipeline):
    """Finds answers to questions in texts.

    An input is a dict with ``question`` and ``context``. A context that does not fit is read in windows that overlap.
    Options beside ``batch_size``:

    * ``top_k`` (default 1): number of answers.
    * ``stride`` (default: half a window, at most 128): tokens that a window has in common with the one before.
    * ``max_length`` (default: 384, at most the context): tokens of a window, with the question.
    * ``max_answer_length`` (default 15): most tokens of an answer.
    * ``handle_impossible_answer`` (default False): an answer may be empty: there is none in the text.

    Returns:
        For a question ``[{"text", "score", "start", "end"}, …]``, the best first, with ``start`` and ``end`` in
        characters of the context; for a list of questions a list of these.
    """

    head: ClassVar[str] = "question_answering"
    task: ClassVar[str] = "question_answering"
    takes: ClassVar[str] = "a dict with question and context"
    names: ClassVar[tuple[str, ...]] = ("top_k", "stride", "max_answer_length", "handle_impossible_answer")

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        if "truncation" in options:
            raise ArgumentError("question_answering does not cut contexts: it reads them in windows",
                                hint="stride and max_length say how")  # fmt: skip
        for name, least in (("stride", 0), ("max_answer_length", 1)):
            value = options.get(name, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ArgumentError(f"{name}={value!r} is not a whole number of at least {least}", value=value)

    def is_one(self, inputs: Any) -> bool:
        """See the base class."""
        return isinstance(inputs, Mapping)

    def join(self, results: list[Any], *, one: bool) -> Any:
        """See the base class."""
        return results[0] if one else results

    def read(self, item: Any) -> tuple[str, str]:
        """See the base class; the question and the context."""
        if not isinstance(item, Mapping) or set(item) != {"question", "context"}:
            raise ArgumentTypeError(
                f"a question is a dict with question and context, not {item!r:.60}", value=item,
                hint="{'question': 'Who?', 'context': 'Ann sings.'}",
            )  # fmt: skip
        question, context = (super(QuestionAnsweringPipeline, self).read(item[key]) for key in ("question", "context"))
        if not question.strip() or not context.strip():
            raise ArgumentError("a question or its context is empty", value=item)
        return question, context

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        if not isinstance(self.tokenizer, FastTokenizer):
            raise UnsupportedError(f"{type(self.tokenizer).__name__} makes no pairs of texts")
        context = self.limit({})
        limit = self.limit(options) if options.get("max_length") else min(context, 384)
        stride = options.get("stride", min(limit // 2, 128))
        windows = [self.tokenizer.encode_windows(question, text, limit, stride) for question, text in items]
        rows = [row for part in windows for row in part]
        size = options.get("batch_size") or 8
        logits = [pair for at in range(0, len(rows), size) for pair in self.logits(rows[at : at + size])]
        results, at = [], 0
        for (_, text), part in zip(items, windows, strict=True):
            results.append(_answers(text, part, logits[at : at + len(part)], options))
            at += len(part)
        return results


def _answers(
    context: str, rows: list[Row], logits: list[np.ndarray], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the best answers of all windows of a context."""
    count, longest = options.get("top_k") or 1, options.get("max_answer_length", 15)
    best: dict[tuple[int, int], float] = {}
    nothing = 1.0
    for row, scores in zip(rows, logits, strict=True):
        inside = np.array([source == 1 for source in row.sources])
        allowed = inside.copy()
        allowed[0] = allowed[0] or options.get("handle_impossible_answer", False)
        first, last = (softmax(np.where(allowed, scores[: len(row.ids), i], -10000.0)) for i in (0, 1))
        nothing = min(nothing, float(first[0] * last[0]))
        joint = np.triu(np.outer(np.where(inside, first, 0), np.where(inside, last, 0)))
        joint -= np.triu(joint, longest)
        for flat_index in np.argsort(-joint, axis=None, kind="stable")[:count]:
            start, end = divmod(int(flat_index), joint.shape[1])
            span = (row.spans[start][0], row.spans[end][1])
            best[span] = max(best.get(span, 0.0), float(joint[start, end]))
    found: list[dict[str, Any]] = [{"text": context[start:end], "score": score, "start": start, "end": end}
             for (start, end), score in best.items()]  # fmt: skip
    if options.get("handle_impossible_answer", False):
        found.append({"text": "", "score": nothing, "start": 0, "end": 0})
    return sorted(found, key=lambda answer: -float(answer["score"]))[:count]
