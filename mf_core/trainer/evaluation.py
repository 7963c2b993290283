"""Going through an evaluation's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ..backends.runtime import exclusive
from ..boundary import user_code
from ..errors import ArgumentError, ArgumentTypeError, DataError, UnsupportedError
from ..models.base import PretrainedModel
from ..parallel import Layout
from .arguments import TrainingArguments
from .loader import evaluation_batches
from .recipe import EvalPrediction, TrainingRecipe
from .session import Session
from .steps.pipeline import PipelineEvaluation

Metrics = Callable[[EvalPrediction], Mapping[str, float]]


class Evaluator:
    """Evaluates a model; its graph is compiled once, whatever is trained in between.

    Args:
        model: The model.
        recipe: The task's.
        args: Batch size.
        compute_metrics: Further metrics from predictions and labels.
    """

    def __init__(
        self,
        model: PretrainedModel,
        recipe: TrainingRecipe,
        args: TrainingArguments,
        compute_metrics: Metrics | None = None,
    ) -> None:
        if compute_metrics is not None and not callable(compute_metrics):
            raise ArgumentError(
                f"compute_metrics={compute_metrics!r} is not a function", value=compute_metrics,
                hint="give a function from an EvalPrediction to a dict of numbers",
            )  # fmt: skip
        self._model, self._recipe, self._args, self._compute = model, recipe, args, compute_metrics
        self._step: Callable[..., Any] | None = None

    def check(self, dataset: Any, layout: Layout) -> None:
        """Raise early what an evaluation would raise before its first batch.

        Raises:
            ArgumentError: ``metric_for_best_model`` is not among the metrics.
            DataError, UnsupportedError: See :meth:`run`.
        """
        if dataset is None:
            raise DataError("there is no eval_dataset", hint="pass Trainer(eval_dataset=…), or set no evaluations")
        if self._step is None:
            self._step = self._make_step(layout)
        readable = isinstance(dataset, (str, Path)) or hasattr(dataset, "__len__")  # a stream is not read ahead
        if readable and self._recipe.batches(dataset, "eval_dataset") is None:
            self._recipe.examples(dataset, "eval_dataset")
        writes = type(self._recipe).text_metrics is not TrainingRecipe.text_metrics
        if not self._needs_predictions and not writes:
            names = {"loss": 1.0, **self._recipe.metrics(1.0), self._recipe.unit: 1}
            check_metric(self._args.metric_for_best_model, names)

    def run(self, dataset: Any, cluster: Session | None = None) -> dict[str, float]:
        """Return ``loss``, the recipe's metrics, the number of targets, and what ``compute_metrics`` returns.

        The number of targets is called ``tokens`` or ``examples``, as the recipe's ``unit`` says.

        Args:
            dataset: As the user gave it.
            cluster: The processes that evaluate together, all of which call this; None: there is one.

        Raises:
            DataError: There is no data.
            UnsupportedError: ``compute_metrics`` is given, and the task has no predictions, or the model is a pipeline.
        """
        layout = Layout() if cluster is None else cluster.layout
        if self._step is None:
            self._step = self._make_step(layout)
        training = self._model.training
        self._model.set_train(False)
        sums, kept = [], []
        try:
            size = self._args.per_device_eval_batch_size
            batches = evaluation_batches(self._recipe, dataset, size, layout.data_rank, layout.data)
            for batch, count in batches:
                with exclusive():
                    loss, targets, *outputs = self._step(*map(Tensor, batch))
                sums.append((loss, targets))
                if outputs:
                    arrays = [output.asnumpy() for output in outputs]
                    kept.append(tuple(_examples(array, count, cluster) for array in arrays))
        finally:
            self._model.set_train(training)
        values = np.array([[float(loss.asnumpy()), float(targets.asnumpy())] for loss, targets in sums]).reshape(-1, 2)
        totals = [float((values[:, 0] * values[:, 1]).sum()), float(values[:, 1].sum()), float(len(values))]
        whole, targets, batches_seen = totals if cluster is None else cluster.total(totals)
        if not batches_seen:
            raise DataError("the eval_dataset is empty", value=dataset)
        if not targets:
            raise DataError(
                "the eval_dataset has no targets, so there is no loss", value=dataset,
                why="all of its ids are padding or parts of prompts", hint="give longer rows, or shorter prompts",
            )  # fmt: skip
        loss = whole / targets
        result = {"loss": loss, **self._recipe.metrics(loss), self._recipe.unit: int(targets)}
        recipe = type(self._recipe).__name__
        if self._model.sharding is None:  # a part of a model writes no texts
            result.update(as_numbers(self._recipe.text_metrics(dataset), recipe))
        if self._needs_predictions:
            predictions, labels = (np.concatenate(parts) for parts in zip(*kept, strict=True))
            prediction = EvalPrediction(predictions, labels)
            result.update(as_numbers(self._recipe.compute_metrics(prediction), recipe))
            if self._compute is not None:
                with user_code():
                    found = self._compute(prediction)
                result.update(as_numbers(found, "compute_metrics"))
        return as_numbers(result, recipe)

    def _make_step(self, layout: Layout) -> Callable[..., Any]:
        """Return what maps the arrays of a batch to loss and targets, and to predictions and labels if wanted."""
        if layout.pipeline == 1:
            return _EvalStep(self._recipe.network(), self._predictor())
        if self._needs_predictions:
            raise UnsupportedError(
                "compute_metrics does not go with a pipeline: its predictions are in the last stage alone",
                value=layout.pipeline, hint="evaluate with pipeline_stage=1, or without compute_metrics",
            )  # fmt: skip
        return PipelineEvaluation(self._recipe, layout)

    @property
    def _needs_predictions(self) -> bool:
        own = type(self._recipe).compute_metrics is not TrainingRecipe.compute_metrics
        return own or self._compute is not None

    def _predictor(self) -> nn.Cell | None:
        if not self._needs_predictions:
            return None
        predictor = self._recipe.predictor()
        if predictor is None:
            raise UnsupportedError(f"{type(self._recipe).__name__} has no predictions for compute_metrics")
        return predictor


def check_metric(name: str, metrics: Mapping[str, float]) -> str:
    """Return ``metric_for_best_model`` without ``eval_``; raise ArgumentError if it is not among the metrics."""
    short = name.removeprefix("eval_")
    if short not in metrics:
        raise ArgumentError(
            f"metric_for_best_model={name!r} is not among the metrics", value=name,
            hint=f"they are: {', '.join(metrics)}",
        )  # fmt: skip
    return short


def as_numbers(metrics: Any, source: str) -> dict[str, float]:
    """Return metrics as Python's numbers: numpy's, MindSpore's and torch's scalars are converted.

    Args:
        metrics: Names -> numbers.
        source: What returned them, for messages.

    Raises:
        ArgumentTypeError: It is not a mapping from text to numbers.
    """
    if not isinstance(metrics, Mapping):
        raise ArgumentTypeError(
            f"{source} returned a {type(metrics).__name__}, not a dict of numbers", value=type(metrics),
            hint="return {'accuracy': 0.5}",
        )  # fmt: skip
    found = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{source} returned a metric named {name!r}, which is not text", value=name)
        number = value
        if not isinstance(number, (int, float)):
            array = value.asnumpy() if hasattr(value, "asnumpy") else value
            try:
                number = array.item()
            except (AttributeError, ValueError, TypeError, RuntimeError):
                number = None
        if not isinstance(number, (int, float)):
            raise ArgumentTypeError(
                f"{source} returned {name}={str(value)[:80]}, a {type(value).__name__}, not a number", value=type(value)
            )
        found[name] = int(number) if isinstance(number, int) else float(number)
    return found


def _examples(array: np.ndarray, count: int, cluster: Session | None) -> np.ndarray:
    """Return the rows of an output that are examples, of all copies of the model."""
    if cluster is None or cluster.layout.data == 1:
        return array[:count]
    counts = cluster.gather_rows(np.array([count], np.int32))[:, 0]
    return np.concatenate([rows[:n] for rows, n in zip(cluster.gather_rows(array), counts, strict=True)])


class _EvalStep(nn.Cell):
    def __init__(self, network: nn.Cell, predictor: nn.Cell | None) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.predictor = network, predictor

    @ms.jit
    def construct(self, *batch: Tensor) -> tuple[Tensor, ...]:
        loss, targets = self.network(*batch)
        if self.predictor is None:
            return loss, targets
        predictions, labels = self.predictor(*batch)
        return loss, targets, predictions, labels
