"""Training classifiers of texts and of tokens.

Shapes: B examples, S tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import nn

from ..errors import DataError
from ..trainer.recipe import EvalPrediction
from .entities import entity_scores
from .labelled import (
    IGNORED,
    ClassLoss,
    RowRecipe,
    class_numbers,
    labels_of_data,
    read_records,
    width_of,
)
from .text_pipeline import labels_of


class TextClassificationRecipe(RowRecipe):
    """Classification of texts, or of pairs of them.

    Records have ``text`` and ``label``, and ``text_pair`` for pairs; a label is a name or a number from 0. A new head
    gets its labels from the training data where the configuration names none. Evaluations report ``accuracy``.
    """

    head: ClassVar[str] = "sequence_classification"
    unit: ClassVar[str] = "examples"

    @classmethod
    def config_of_data(cls, config: Mapping[str, Any], dataset: Any, on_bad_record: Any) -> dict[str, Any]:
        """See the base class."""
        if dataset is None or config.get("id2label") or "num_labels" in config:
            return {}
        records = read_records(dataset, "train_dataset", ("text", "label"), ("text_pair",), on_bad_record)
        return labels_of_data(record["label"] for _, record in records)

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``row``, ``label`` and ``width``."""
        records = self.records(dataset, name, ("text", "label"), ("text_pair",))
        names = labels_of(self.model, int(self.model.config.num_labels))
        labels = class_numbers(names, ((where, record["label"]) for where, record in records))
        rows = self.rows([(record["text"], record.get("text_pair")) for _, record in records], name)
        width = width_of(rows, self.limit)
        return [{"row": row, "label": label, "width": width} for row, label in zip(rows, labels, strict=True)]

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids, mask and segments ``(B, S)``, and labels ``(B,)``, all int32."""
        return *self.arrays(examples), np.array([example["label"] for example in examples], np.int32)

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "label": IGNORED}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model, best=True)

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return the accuracy."""
        return {"accuracy": float((prediction.predictions == prediction.label_ids).mean())}


class TokenClassificationRecipe(RowRecipe):
    """Classification of the words of a text.

    Records have ``tokens``, a list of words, and ``labels``, one for each, by name or number. A word's first token is
    its target. A new head gets its labels from the training data where the configuration names none. Evaluations
    report ``precision``, ``recall`` and ``f1`` of entities, and ``accuracy`` of words.
    """

    head: ClassVar[str] = "token_classification"

    @classmethod
    def config_of_data(cls, config: Mapping[str, Any], dataset: Any, on_bad_record: Any) -> dict[str, Any]:
        """See the base class."""
        if dataset is None or config.get("id2label") or "num_labels" in config:
            return {}
        records = read_records(dataset, "train_dataset", ("tokens", "labels"), (), on_bad_record)
        return labels_of_data(label for _, record in records for label in record["labels"])

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``row``, ``labels`` and ``width``."""
        records = self.records(dataset, name, ("tokens", "labels"))
        names = labels_of(self.model, int(self.model.config.num_labels))
        texts, starts, numbers = [], [], []
        for where, record in records:
            words, labels = record["tokens"], record["labels"]
            if not words or not all(isinstance(word, str) and word for word in words) or len(words) != len(labels):
                raise DataError(
                    f"{where}: {len(words)} words have {len(labels)} labels", value=labels,
                    hint="tokens are words that are not empty, and labels one for each",
                )  # fmt: skip
            numbers.append(class_numbers(names, ((where, label) for label in labels)))
            ends = np.cumsum([len(word) + 1 for word in words]).tolist()
            starts.append([0, *ends[:-1]])
            texts.append((" ".join(words), None))
        rows = self.rows(texts, name)
        width, examples = width_of(rows, self.limit), []
        for row, word_starts, labels in zip(rows, starts, numbers, strict=True):
            examples.append({"row": row, "labels": _of_first_tokens(row.spans, word_starts, labels), "width": width})
        return examples

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids, mask, segments and labels, ``(B, S)`` int32 each; labels that are no targets are -100."""
        ids, mask, types = self.arrays(examples)
        labels = np.full(ids.shape, IGNORED, np.int32)
        for number, example in enumerate(examples):
            labels[number, : len(example["labels"])] = example["labels"]
        return ids, mask, types, labels

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "labels": []}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model, best=True)

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return precision, recall and F1 of entities, and the accuracy of words."""
        names = labels_of(self.model, int(self.model.config.num_labels))
        true, found = [], []
        for predicted, labels in zip(prediction.predictions, prediction.label_ids, strict=True):
            counted = labels >= 0
            true.append([names[i] for i in labels[counted]])
            found.append([names[i] for i in predicted[counted]])
        right = [one == other for pair in zip(found, true, strict=True) for one, other in zip(*pair, strict=True)]
        return {**entity_scores(found, true), "accuracy": float(np.mean(right))}


def _of_first_tokens(spans: Sequence[tuple[int, int]], starts: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Return a label for each token: a word's for its first, -100 for the others and for special tokens."""
    found, word = [], 0
    for start, end in spans:
        if word < len(starts) and end > start and end > starts[word]:
            while word + 1 < len(starts) and starts[word + 1] < end and starts[word + 1] <= start:
                word += 1
            found.append(labels[word])
            word += 1
        else:
            found.append(IGNORED)
    return found
