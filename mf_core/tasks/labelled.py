"""What the recipes of labelled texts share: labels from data, rows of one length, losses over classes.

Shapes: B examples, S tokens, L labels.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..data import open_records
from ..errors import ArgumentError, DataError, shown
from ..models.base import PretrainedModel
from ..nn import CrossEntropy
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.rows import Row
from ..trainer.recipe import TrainingRecipe
from .text_pipeline import pad

#: The label of what is no target.
IGNORED = -100


class RowRecipe(TrainingRecipe):
    """Base of recipes whose examples are rows of ids with labels, padded to one length.

    Texts are cut to ``max_seq_length`` (default: the longest row, at most the context), with a warning that counts
    them.
    """

    tokenizer: PretrainedTokenizer

    @property
    def limit(self) -> int:
        """Most tokens of a row."""
        context, asked = int(self.model.max_positions), self.args.max_seq_length
        if asked is not None and asked > context:
            raise ArgumentError(
                f"max_seq_length={asked} is more than the model's context of {context}", value=asked,
                hint=f"set it to {context} or less",
            )  # fmt: skip
        return asked or context

    def records(self, dataset: Any, name: str, fields: Sequence[str], optional: Sequence[str] = ()) -> list[Any]:
        """Return the records of a dataset with where each is."""
        if self.tokenizer is None:
            raise DataError(f"{name} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        return read_records(dataset, name, fields, optional, self.args.on_bad_record)

    def rows(self, texts: Sequence[tuple[str, str | None]], name: str) -> list[Row]:
        """Return the ids of texts, and of pairs of them."""
        special = self.tokenizer.prompt_special_tokens
        rows = [self.tokenizer.encode_row(*text, special=special) for text in texts]
        limit = self.limit
        long = [number for number, row in enumerate(rows) if len(row.ids) > limit]
        for number in long:
            rows[number] = self.tokenizer.encode_row(*texts[number], special=special, limit=limit)
        if long:
            warnings.warn(f"{name}: {len(long)} of {len(rows)} texts were cut to {limit} tokens", stacklevel=2)
        return rows

    def width(self, examples: Sequence[Mapping[str, Any]]) -> int:
        """Return the length of the padded rows: of a whole dataset one, as graphs are compiled for a shape."""
        return int(examples[0]["width"])

    def arrays(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ids, mask and segments, ``(B, S)`` int32 each."""
        pad_id = self.tokenizer.pad_token_id or 0
        ids, mask, types = pad([example["row"] for example in examples], pad_id)
        missing = ((0, 0), (0, self.width(examples) - ids.shape[1]))
        return np.pad(ids, missing, constant_values=pad_id), np.pad(mask, missing), np.pad(types, missing)


def read_records(
    dataset: Any, name: str, fields: Sequence[str], optional: Sequence[str] = (), on_bad_record: Any = "error"
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the records of a dataset, each with where it is; all are read."""
    records = open_records(dataset, name=name, on_bad_record=on_bad_record, fields=fields, optional=optional)
    found: list[tuple[str, Mapping[str, Any]]] = list(records.walk())
    if not found:
        raise DataError(f"{name} is empty", value=name)
    return found


def width_of(rows: Iterable[Row], limit: int) -> int:
    """Return the length for padded rows: that of the longest, rounded up to a multiple of 8."""
    return min(-(-max(len(row.ids) for row in rows) // 8) * 8, limit)


def class_numbers(names: Sequence[str], values: Iterable[tuple[str, Any]]) -> list[int]:
    """Return the classes of labels, given by name or number.

    Args:
        names: Of the classes.
        values: Where each label is, and the label.

    Raises:
        DataError: The head lacks one.
    """
    by_name, found = {name: number for number, name in enumerate(names)}, []
    for where, value in values:
        number = by_name.get(value) if isinstance(value, str) else value
        if isinstance(value, str) and number is None and value.lstrip("-").isdecimal():
            number = int(value)  # files of comma-separated values have no numbers
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or not 0 <= number < len(names):
            raise DataError(
                f"{where}: the model has no label {shown(value)}", value=value,
                why=f"its labels are {', '.join(names[:20])}{' …' if len(names) > 20 else ''}",
                hint="name the model by a checkpoint without a head, or give id2label when it is loaded",
            )  # fmt: skip
        found.append(int(number))
    return found


def labels_of_data(values: Iterable[Any]) -> dict[str, Any]:
    """Return the fields of a configuration that labels imply: their names in order, or how many numbers there are."""
    seen = set(values)
    numbers = {int(v) for v in seen if isinstance(v, (int, np.integer)) or (isinstance(v, str) and v.isdecimal())}
    if len(numbers) == len(seen):
        return {"num_labels": max(numbers, default=0) + 1}
    return {"id2label": dict(enumerate(sorted(map(str, seen))))}


class ClassLoss(nn.Cell):
    """Cross-entropy over the classes of examples or tokens, as ``(mean, number of targets)``.

    Args:
        model: Maps ids, a mask and segments to logits ``(B, L)`` or ``(B, S, L)``.
        best: Return the likeliest classes and the labels instead, for metrics.
    """

    def __init__(self, model: PretrainedModel, *, best: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.best, self.cross_entropy = model, best, CrossEntropy()
        self.has_segments = "token_type_ids" in inspect.signature(model.construct).parameters

    def construct(self, ids: Tensor, mask: Tensor, types: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See the recipes' ``collate`` for the shapes; a label of -100 is no target."""
        return self.of_logits(self.model(ids, mask, types) if self.has_segments else self.model(ids, mask), labels)

    def of_logits(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the number of targets, or the likeliest classes and the labels."""
        if self.best:
            return ops.cast(ops.argmax(logits, -1), ms.int32), labels
        flat = labels.reshape((-1,))
        counted = ops.cast(flat >= 0, ms.float32)
        losses = self.cross_entropy(logits.reshape((-1, logits.shape[-1])), ops.maximum(flat, ops.zeros_like(flat)))
        targets = counted.sum()
        return (losses * counted).sum() / ops.maximum(targets, Tensor(1.0, ms.float32)), targets
