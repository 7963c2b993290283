"""The task's training: from texts with their labels to a model that finds the right ones likeliest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mf_core import EvalPrediction, PretrainedModel, TrainingRecipe
from mf_core.errors import DataError
from mf_core.nn import CrossEntropy
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from .pipeline import check_labels
from .scoring import PROMPT, Arrays, LabelScores, arrays, encode

#: A text with each of the labels, as arrays of L rows, and the number of the right label.
Example = tuple[Arrays, int]


class ZeroShotRecipe(TrainingRecipe):
    """Raises the likelihood of a text's label over that of the other labels.

    A dataset is a list of mappings with the keys ``text`` and ``label``; its labels are all that occur in it.
    """

    head: ClassVar[str] = "causal_lm"
    unit: ClassVar[str] = "examples"

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Example]:
        """See the base class."""
        if isinstance(dataset, (str, bytes, Mapping)) or not hasattr(dataset, "__iter__"):
            raise DataError(f"{name} is a {type(dataset).__name__}, not a list of texts with labels", value=dataset)
        if self.tokenizer is None:
            raise DataError(f"{name} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        records = list(dataset)
        for number, record in enumerate(records):
            known = isinstance(record, Mapping) and all(isinstance(record.get(key), str) for key in ("text", "label"))
            if not known or not record["text"].strip():
                raise DataError(
                    f"{name}, record {number}, is no text with a label: {record!r:.80}", value=record,
                    hint='a record is {"text": "…", "label": "…"}',
                )  # fmt: skip
        labels = sorted({record["label"] for record in records})
        if len(labels) < 2:
            raise DataError(f"{name} has {len(labels)} labels", value=labels, why="there is nothing to tell apart")
        labels = check_labels(labels)
        limit = min(self.args.max_seq_length or self.model.max_positions, self.model.max_positions)
        each = [encode(self.tokenizer, record["text"], labels, PROMPT, limit) for record in records]
        # All batches of a dataset have one shape, so that the step is compiled once.
        longest = max(len(ids) for rows in each for ids, _ in rows)
        return [
            (arrays(rows, longest), labels.index(record["label"]))
            for rows, record in zip(each, records, strict=True)
        ]

    def collate(self, examples: Sequence[Example]) -> tuple[NDArray[Any], ...]:
        """Return ids and mask ``(B, L, S)`` int32, ``(B, L, S - 1)`` fp32 with 1 at labels, and answers ``(B,)``."""
        stacked = [np.stack(parts) for parts in zip(*(found for found, _ in examples), strict=True)]
        return (*stacked, np.array([answer for _, answer in examples], np.int32))

    def network(self) -> nn.Cell:
        """See the base class."""
        return LabelLoss(self.model)

    def predictor(self) -> nn.Cell:
        """Return the likeliest label of each text, and the right one: numbers ``(B,)``."""
        return LabelLoss(self.model, best=True)

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return the share of texts whose right label is the likeliest."""
        return {"accuracy": float((prediction.predictions == prediction.label_ids).mean())}

    def tokens(self, batch: tuple[NDArray[Any], ...]) -> int:
        """See the base class."""
        return int(batch[0].size)


class LabelLoss(nn.Cell):
    """The cross-entropy of the right labels among all, as ``(mean, number of texts)``.

    Args:
        model: The language model.
        best: Return the likeliest labels and the right ones in their place.
    """

    def __init__(self, model: PretrainedModel, *, best: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.best = best
        self.scores, self.cross_entropy = LabelScores(model), CrossEntropy()

    def construct(self, ids: Tensor, mask: Tensor, labelled: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """See ZeroShotRecipe.collate for the shapes."""
        texts, labels, length = ids.shape
        rows = texts * labels
        flat = ids.reshape((rows, length)), mask.reshape((rows, length)), labelled.reshape((rows, length - 1))
        scores = self.scores(flat[0], flat[1], flat[2]).reshape((texts, labels))
        if self.best:
            return ops.cast(ops.argmax(scores, -1), ms.int32), answers
        losses = self.cross_entropy(scores, answers)
        return losses.sum() / texts, ops.ones((), ms.float32) * texts
