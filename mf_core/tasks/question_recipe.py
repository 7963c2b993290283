"""Training models that find answers in texts.

Shapes: B windows, S tokens.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import DataError, UnsupportedError
from ..models.base import PretrainedModel
from ..nn import CrossEntropy
from ..tokenization.fast import FastTokenizer
from ..tokenization.rows import Row
from ..trainer.recipe import EvalPrediction
from .labelled import IGNORED, RowRecipe, width_of


class QuestionAnsweringRecipe(RowRecipe):
    """Finding the answer to a question in a context.

    Records have ``question``, ``context``, and ``answers``: ``{"text": [str], "answer_start": [int]}``, in characters,
    as in SQuAD; an empty list means that there is no answer. Long contexts are read in windows that overlap; in a
    window without the answer the target is the first token. Evaluations report ``exact_match`` and ``f1``, in per
    cent, of the answers of windows, normalised as SQuAD's own script does (Rajpurkar et al., 2016).
    """

    head: ClassVar[str] = "question_answering"
    unit: ClassVar[str] = "examples"

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``row``, ``span`` (of tokens) and ``width``."""
        records = self.records(dataset, name, ("question", "context", "answers"))
        if not isinstance(self.tokenizer, FastTokenizer):
            raise UnsupportedError(f"{type(self.tokenizer).__name__} makes no pairs of texts")
        limit = self.limit
        examples: list[dict[str, Any]] = []
        for where, record in records:
            start, end = _answer_of(record, where)
            stride = min(limit // 4, 128)
            for row in self.tokenizer.encode_windows(record["question"], record["context"], limit, stride):
                examples.append({"row": row, "span": _tokens_of(row, start, end)})
        width = width_of((example["row"] for example in examples), limit)
        return [{**example, "width": width} for example in examples]

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids, mask and segments ``(B, S)``, and the first and last token of answers ``(B, 2)``; all int32."""
        return *self.arrays(examples), np.array([example["span"] for example in examples], np.int32)

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "span": (IGNORED, IGNORED)}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return SpanLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class; predictions are ``(B, S + 2)``: the ids, and the first and last token of the answer."""
        return SpanLoss(self.model, best=True)

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return the exact matches and F1, in per cent."""
        exact, f1 = [], []
        for row, (start, end) in zip(prediction.predictions, prediction.label_ids, strict=True):
            ids, first, last = row[:-2], int(row[-2]), int(row[-1])
            found = self._text(ids[first : last + 1]) if 0 < first <= last else ""
            true = self._text(ids[start : end + 1]) if start > 0 else ""
            exact.append(float(found == true))
            f1.append(_overlap(found.split(), true.split()))
        return {"exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(f1))}

    def _text(self, ids: np.ndarray) -> str:
        return normalize_answer(self.tokenizer.decode(ids, skip_special_tokens=True, strict=False))


class SpanLoss(nn.Cell):
    """The mean of the cross-entropies of answers' first and last tokens, as ``(mean, number of windows)``.

    Args:
        model: Maps ids, a mask and segments to logits ``(B, S, 2)``.
        best: Return ids with the likeliest tokens, and the true ones, instead.
    """

    def __init__(self, model: PretrainedModel, *, best: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.best, self.cross_entropy = model, best, CrossEntropy()

    def construct(self, ids: Tensor, mask: Tensor, types: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`QuestionAnsweringRecipe.collate` for the shapes."""
        logits = self.model(ids, mask, types)
        rows, length = ids.shape
        first, last = logits[:, :, 0].reshape((rows, length)), logits[:, :, 1].reshape((rows, length))
        if self.best:
            hidden = ops.cast(1 - mask, ms.float32) * -1e9
            best = ops.stack((ops.argmax(first + hidden, -1), ops.argmax(last + hidden, -1)), -1)
            return ops.concat((ids, ops.cast(best, ms.int32)), -1), spans
        known = ops.maximum(spans, ops.zeros_like(spans))
        counted = ops.cast(spans[:, 0] >= 0, ms.float32)
        losses = self.cross_entropy(first, known[:, 0]) + self.cross_entropy(last, known[:, 1])
        targets = counted.sum()
        return (losses * counted).sum() * 0.5 / ops.maximum(targets, Tensor(1.0, ms.float32)), targets


def _answer_of(record: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Return the first answer's characters; (0, 0) where there is none."""
    answers, context = record["answers"], record["context"]
    if not isinstance(answers, Mapping) or not {"text", "answer_start"} <= set(answers):
        raise DataError(f"{where}: answers have no text and answer_start", value=answers)
    if not answers["text"]:
        return 0, 0
    text, start = answers["text"][0], int(answers["answer_start"][0])
    if context[start : start + len(text)] != text or not text:
        raise DataError(
            f"{where}: the context has {context[start : start + len(text)]!r:.40} at {start}, not {text!r:.40}",
            value=start, hint="answer_start counts characters of the context",
        )  # fmt: skip
    return start, start + len(text)


def _tokens_of(row: Row, start: int, end: int) -> tuple[int, int]:
    """Return the first and last token of an answer; (0, 0) where the window does not have all of it."""
    inside = [index for index, (source, (first, last)) in enumerate(zip(row.sources, row.spans, strict=True))
              if source == 1 and first < end and last > start]  # fmt: skip
    if start == end or not inside or row.spans[inside[0]][0] > start or row.spans[inside[-1]][1] < end:
        return 0, 0
    return inside[0], inside[-1]


def normalize_answer(text: str) -> str:
    """Return a text in lower case, without punctuation, articles and superfluous blanks."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def _overlap(found: Sequence[str], true: Sequence[str]) -> float:
    """Return the F1 of the words of an answer."""
    if not found or not true:
        return float(found == true)
    common = sum((Counter(found) & Counter(true)).values())
    return 2 * common / (len(found) + len(true))
