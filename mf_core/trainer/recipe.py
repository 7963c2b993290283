"""What a task brings so that it can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import UnsupportedError
from .arguments import TrainingArguments

if TYPE_CHECKING:
    from mindspore import nn

    from ..models.base import PretrainedModel
    from ..tokenization.base import PretrainedTokenizer


@dataclass(frozen=True)
class EvalPrediction:
    """The predictions of an evaluation, for metrics.

    Attributes:
        predictions: Of every example, as the recipe's :meth:`TrainingRecipe.predictor` returns them; for language
            models the most likely next ids, ``(N, S)`` int32.
        label_ids: The true ones; -100 where a label does not count.
    """

    predictions: np.ndarray
    label_ids: np.ndarray


@dataclass(frozen=True)
class DataSummary:
    """Counts of a dataset; its text is one line for people. None where a number is unknown.

    Attributes:
        documents: Documents.
        tokens: Their tokens.
        rows: Rows of the arrays that a model is given.
        length: Ids of a row.
        steps_per_epoch: Steps of a pass.
        steps: Steps of the run.
    """

    documents: int | None = None
    tokens: int | None = None
    rows: int | None = None
    length: int | None = None
    steps_per_epoch: int | None = None
    steps: int | None = None

    def __str__(self) -> str:
        """Return what is known."""
        parts = []
        for count, unit in ((self.documents, "documents"), (self.tokens, "tokens")):
            if count is not None:
                parts.append(f"{count:,} {unit}")
        if self.rows is not None:
            parts.append(f"{self.rows:,} rows" + (f" of {self.length:,} ids" if self.length else ""))
        elif self.steps_per_epoch is None:
            parts.append("a stream")
        if self.steps_per_epoch is not None:
            parts.append(f"{self.steps_per_epoch:,} steps an epoch")
        if self.steps is not None:
            parts.append(f"{self.steps:,} steps")
        return ", ".join(parts)


class TrainingRecipe(ABC):
    """A task's way from a dataset to a loss. Subclasses are named by ``TaskSpec.recipe``.

    Args:
        model: The model to train.
        tokenizer: Its tokenizer, if there is one.
        args: The run's settings.
        **processors: ``image_processor`` and ``audio_processor``, when the user gave them.

    Class attributes:
        head: The kind of model that a name is resolved to: ``"base"``, ``"causal_lm"``.
        unit: What a target of the loss is, as evaluations report their number: ``"tokens"`` or ``"examples"``.
        modalities: What the task reads: ``"text"`` needs a tokenizer, ``"image"`` an image processor.
    """

    head: ClassVar[str] = "base"
    modalities: ClassVar[tuple[str, ...]] = ("text",)
    unit: ClassVar[str] = "tokens"

    def __init__(
        self,
        model: PretrainedModel,
        tokenizer: PretrainedTokenizer | None = None,
        args: TrainingArguments | None = None,
        **processors: Any,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.args = args or TrainingArguments()
        self.processors = processors

    @classmethod
    def config_of_data(cls, config: Mapping[str, Any], dataset: Any, on_bad_record: Any) -> dict[str, Any]:
        """Return fields of the configuration that follow from the training data, such as the labels of a new head.

        Args:
            config: What the model's checkpoint says already.
            dataset: The ``train_dataset``, as the user gave it.
            on_bad_record: See :class:`mf_core.TrainingArguments`.
        """
        return {}

    @abstractmethod
    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Any] | Iterable[Any]:
        """Return what the user gave as a sequence of examples, or, where it has no length, as an iterable.

        Args:
            dataset: As the user gave it.
            name: What it is called in messages.

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

    def stage(self) -> nn.Cell:
        """Return a cell that maps ``(hidden, *batch)`` to what a stage of a pipeline makes of them.

        ``hidden`` is what the stage before made, None in the first. In the last stage the cell returns what that of
        :meth:`network` does; in the others what the stage after takes, an auxiliary loss (a scalar, 0 where there is
        none), and the number of targets.

        Raises:
            UnsupportedError: The task cannot be pipelined.
        """
        raise UnsupportedError(
            f"{type(self).__name__} cannot be pipelined", why="it has no stages", hint="leave pipeline_stage at 1"
        )

    def hidden_like(self, batch: tuple[Any, ...]) -> Any:
        """Return zeros of the shape and type of the activations between stages for a batch."""
        raise UnsupportedError(f"{type(self).__name__} cannot be pipelined")

    def batches(
        self, dataset: Any, name: str = "train_dataset", seed: int | None = None
    ) -> Iterable[tuple[np.ndarray, ...]] | None:
        """Return one pass of batches for a dataset that has its own batching; None for any other.

        Args:
            dataset: As the user gave it.
            name: What it is called in messages.
            seed: What it is to shuffle by in this pass, if it shuffles; None: in its own way.
        """
        return None

    def fill(self, examples: Sequence[Any], size: int) -> Sequence[Any]:
        """Return a last, smaller batch of an evaluation filled up to ``size`` with what counts no targets.

        A recipe that cannot returns ``examples`` as they are, and the smaller batch is compiled for.
        """
        return examples

    def summary(self, examples: Sequence[Any] | Iterable[Any]) -> DataSummary:
        """Return counts of the examples that :meth:`examples` returned; here: of rows, where there is a length."""
        return DataSummary(rows=len(examples) if isinstance(examples, Sequence) else None)

    def metrics(self, loss: float) -> Mapping[str, float]:
        """Return what follows from the mean loss of an evaluation, by name."""
        return {}

    def text_metrics(self, dataset: Any) -> Mapping[str, float]:
        """Return metrics of texts that the model itself writes, by name; called at the end of an evaluation.

        Args:
            dataset: The ``eval_dataset``, as the user gave it.
        """
        return {}

    def predictor(self) -> nn.Cell | None:
        """Return a cell that maps the arrays of a batch to ``(predictions, labels)``, for metrics; None: there is none.

        Rows are examples; labels that do not count are -100.
        """
        return None

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return the task's metrics of all predictions and labels of an evaluation, by name.

        A recipe that overrides it also has a :meth:`predictor`; the user's ``compute_metrics`` is called after it.
        """
        return {}

    def tokens(self, batch: tuple[np.ndarray, ...]) -> int:
        """Return how many positions the model computes for a batch; it is what the work of a step is measured by."""
        return int(batch[0].size)
