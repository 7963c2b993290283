"""What a task brings so that it can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from mindspore import nn

    from ..modeling import PretrainedModel
    from ..tokenization import PretrainedTokenizer


class TrainingRecipe(ABC):
    """A task's way from a dataset to a loss. Subclasses are named by ``TaskSpec.recipe``.

    Args:
        model: The model to train.
        tokenizer: Its tokenizer, if there is one.

    Class attributes:
        head: The kind of model that a name is resolved to: ``"base"``, ``"causal_lm"``.
    """

    head: ClassVar[str] = "base"

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer | None) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @abstractmethod
    def examples(self, dataset: Any) -> Sequence[Any]:
        """Return what the user gave as a sequence of examples.

        Raises:
            DataError: There are none, or one has the wrong form; the error says which.
        """

    @abstractmethod
    def collate(self, examples: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """Return the arrays of a batch; every batch has the same shapes but for the first dimension."""

    @abstractmethod
    def network(self) -> nn.Cell:
        """Return a cell that maps the arrays of a batch to ``(loss, targets)``.

        ``loss`` is the mean over the batch's targets, ``targets`` how many there are; both are fp32 scalars.
        """

    def batches(self, dataset: Any) -> Iterator[tuple[np.ndarray, ...]] | None:
        """Return one pass of batches for a dataset that has its own batching; None for any other."""
        return None
