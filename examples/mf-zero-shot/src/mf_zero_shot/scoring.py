"""What the pipeline and the recipe share: texts with labels as ids, and how likely a model finds the labels.

Shapes: B texts, L labels, N = B * L rows, S tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mf_core import PretrainedModel, PretrainedTokenizer
from mf_core.errors import InputTooLongError
from mf_core.nn import CrossEntropy
from mindspore import Tensor, nn
from numpy.typing import NDArray

#: What stands between a text and its label.
PROMPT = "{text} It was {label}"

#: The ids of a text with a label after it, and how many of them are the label's.
Row = tuple[list[int], int]
Arrays = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


class LabelScores(nn.Cell):
    """The log-probability of each row's label after its text.

    Args:
        model: A language model. Its weights keep their names: ``auto_prefix`` is off.
    """

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.cross_entropy = model, CrossEntropy()

    def construct(self, ids: Tensor, mask: Tensor, labelled: Tensor) -> Tensor:
        """Return the scores ``(N,)`` fp32.

        Args:
            ids: ``(N, S)`` int32.
            mask: ``(N, S)`` int32, 1 for tokens and 0 for padding, which is on the right.
            labelled: ``(N, S - 1)`` fp32, 1 where the next token is the label's.
        """
        rows, length = ids.shape
        logits = self.model(ids, mask)[:, :-1]
        losses = self.cross_entropy(logits.reshape((-1, logits.shape[-1])), ids[:, 1:].reshape((-1,)))
        return -(losses.reshape((rows, length - 1)) * labelled).sum(1)


def encode(tokenizer: PretrainedTokenizer, text: str, labels: Sequence[str], prompt: str, limit: int) -> list[Row]:
    """Return a text with each of the labels.

    Args:
        tokenizer: The model's.
        text: The text.
        labels: The labels.
        prompt: Holds ``{text}``, and ends in ``{label}``.
        limit: The model's context.

    Raises:
        InputTooLongError: Text and label do not fit the context.
    """
    before, _, _ = prompt.partition("{label}")
    # The space belongs to the label: language models have words with the space before them as tokens.
    start = before.rstrip(" ")
    first = tokenizer.encode(start.replace("{text}", text), add_special_tokens=False)
    rows = []
    for label in labels:
        last = tokenizer.encode(before[len(start) :] + label, add_special_tokens=False)
        if len(first) + len(last) > limit:
            raise InputTooLongError(
                f"a text has {len(first) + len(last)} tokens with its label; the model's context is {limit}",
                value=len(first) + len(last), hint="shorten the text",
            )  # fmt: skip
        rows.append((first + last, len(last)))
    return rows


def arrays(rows: Sequence[Row], length: int | None = None) -> Arrays:
    """Return what :class:`LabelScores` takes, filled up to ``length``, or to the longest row."""
    width = length or max(len(ids) for ids, _ in rows)
    ids = np.zeros((len(rows), width), np.int32)
    mask, labelled = np.zeros_like(ids), np.zeros((len(rows), width - 1), np.float32)
    for number, (row, count) in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row, 1
        labelled[number, len(row) - 1 - count : len(row) - 1] = 1.0
    return ids, mask, labelled
