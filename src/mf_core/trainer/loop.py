"""The trainer."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np

from ..auto import AutoTokenizer, model_of
from ..backend import get_backend
from ..checkpoint import locate
from ..errors import ArgumentTypeError, DataError, TrainingError, UnsupportedError
from ..modeling import PretrainedModel
from ..registry import registry
from ..tokenization import PretrainedTokenizer
from .arguments import TrainingArguments
from .progress import Progress
from .recipe import TrainingRecipe
from .schedule import schedule
from .step import TrainStep


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        steps: Steps taken.
        loss: Mean loss of the last ``logging_steps`` steps.
        losses: Step -> mean loss since the last entry.
        tokens: Targets trained on.
        seconds: Time, compiling included.
    """

    steps: int
    loss: float
    losses: dict[int, float]
    tokens: int
    seconds: float


class Trainer:
    """Trains a model on a task.

    Args:
        args: Settings; None: all defaults.
        task: The task whose recipe (collation, loss) is used, such as ``"text_generation"``.
        model: A preset, directory, hub repository, or model object.
        model_name: The checkpoint whose tokenizer goes with a model object, when ``tokenizer`` is not given.
        train_dataset: What the task's recipe takes; for text generation see
            :class:`mf_core.tasks.causal_lm.CausalLMRecipe`.
        eval_dataset: Kept for evaluation.
        tokenizer: The tokenizer; None: the model's own, when the model is given by name.
        image_processor, audio_processor, optimizers, wrapper, pet_method, callbacks, eval_callbacks, compute_metrics,
            save_config: Known, and refused when set: this version has not what they stand for.

    Raises:
        NotRegisteredError: No plugin has the task, or the model.
        UnsupportedError: The task cannot be trained, or an argument is not in this version.
    """

    def __init__(
        self,
        args: TrainingArguments | None = None,
        task: str = "general",
        model: str | PretrainedModel | None = None,
        model_name: str | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        tokenizer: PretrainedTokenizer | None = None,
        image_processor: Any = None,
        audio_processor: Any = None,
        optimizers: Any = None,
        wrapper: Any = None,
        pet_method: str = "",
        callbacks: Any = None,
        eval_callbacks: Any = None,
        compute_metrics: Any = None,
        save_config: bool = False,
    ) -> None:
        later = {
            "image_processor": image_processor, "audio_processor": audio_processor, "optimizers": optimizers,
            "wrapper": wrapper, "pet_method": pet_method, "callbacks": callbacks, "eval_callbacks": eval_callbacks,
            "compute_metrics": compute_metrics, "save_config": save_config,
        }  # fmt: skip
        for name, value in later.items():
            if value:
                raise UnsupportedError(f"Trainer: {name} is not in this version", value=value, hint="leave it out")
        if args is not None and not isinstance(args, TrainingArguments):
            raise ArgumentTypeError(f"args is a TrainingArguments, not {type(args).__name__}", value=args)
        self.args = args or TrainingArguments()
        self.task = task
        recipe_class = self._recipe_class(task)
        get_backend()
        self.model = self._model(model, recipe_class.head)
        named = model if isinstance(model, str) else model_name
        self.tokenizer = tokenizer or (AutoTokenizer.from_pretrained(named) if named else None)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.recipe = recipe_class(self.model, self.tokenizer)

    @staticmethod
    def _recipe_class(task: str) -> type[TrainingRecipe]:
        entry = registry.find("task", task)
        recipe = getattr(entry.spec, "recipe", None)
        if recipe is None:
            raise UnsupportedError(f"the task {task!r} of {entry.owner} cannot be trained: no recipe", value=task)
        from ..registry import load_target

        recipe_class: type[TrainingRecipe] = load_target(recipe, entry.owner)
        return recipe_class

    @staticmethod
    def _model(model: str | PretrainedModel | None, head: str) -> PretrainedModel:
        if isinstance(model, PretrainedModel):
            return model
        if not isinstance(model, str):
            raise ArgumentTypeError(
                f"model is a name, a path or a model object, not {type(model).__name__}", value=model,
                hint="model='gpt2', or model=AutoModel.from_config(config) for random weights",
            )
        return model_of(locate(model), f"model:{head}")

    def train(self) -> TrainResult:
        """Train, and save model and tokenizer to ``args.output_dir``.

        Seeds MindSpore's global generators, which dropout draws from, with ``args.seed``.

        Raises:
            DataError: There is no data, or a record has the wrong form.
            TrainingError: The loss is not a number any more.
        """
        args = self.args
        if args.sink_mode:
            warnings.warn("sink_mode: data is not sunk on this device; training runs step by step", stacklevel=2)
        if self.train_dataset is None:
            raise DataError("there is no train_dataset", hint="pass Trainer(train_dataset=…)")
        ms.set_seed(args.seed)
        total, epochs = self._plan()
        rate = schedule(args, total)
        self.model.set_train(True)
        step = TrainStep(self.model, self.recipe.network(), args)
        progress = Progress(total)
        start = time.perf_counter()
        tokens, losses = 0.0, {}
        pending: list[tuple[Any, Any, Any]] = []
        number = 0
        try:
            for number, batch in enumerate(self._steps(epochs, total), 1):
                pending.append(step.run(number, rate(number - 1), batch))
                if number % args.logging_steps == 0 or number == total:
                    loss, counted, norm = self._read(pending, number)
                    pending.clear()
                    losses[number] = loss
                    tokens += counted
                    progress.log(number, loss, rate(number - 1), norm, counted)
        finally:
            progress.close()
            self.model.set_train(False)
        self.save_pretrained(args.output_dir)
        return TrainResult(number, losses[number], losses, int(tokens), time.perf_counter() - start)

    def save_pretrained(self, directory: str) -> None:
        """Write model and tokenizer into ``directory``."""
        self.model.save_pretrained(directory)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(directory)

    def _plan(self) -> tuple[int, Callable[[int], Iterator[tuple[np.ndarray, ...]]]]:
        """Return the number of steps, and what gives an epoch's batches."""
        args = self.args
        own = self.recipe.batches(self.train_dataset)
        if own is not None:
            per_epoch = sum(1 for _ in own)
            epoch = self._own_batches
        else:
            examples = self.recipe.examples(self.train_dataset)
            size = args.per_device_train_batch_size
            per_epoch = len(examples) // size
            if per_epoch == 0:
                raise DataError(
                    f"there are {len(examples)} examples, fewer than a batch of {size}", value=len(examples),
                    hint="lower batch_size or give more data",
                )

            def epoch(number: int) -> Iterator[tuple[np.ndarray, ...]]:
                seed = args.seed if args.data_seed is None else args.data_seed
                order = np.random.default_rng((seed, number)).permutation(len(examples))
                for first in range(0, per_epoch * size, size):
                    yield self.recipe.collate([examples[i] for i in order[first : first + size]])

        if per_epoch == 0:
            raise DataError("the train_dataset has no batches", value=self.train_dataset)
        total = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * per_epoch)
        return total, epoch

    def _own_batches(self, number: int) -> Iterator[tuple[np.ndarray, ...]]:
        batches = self.recipe.batches(self.train_dataset)
        assert batches is not None
        return batches

    @staticmethod
    def _steps(
        epoch: Callable[[int], Iterator[tuple[np.ndarray, ...]]], total: int
    ) -> Iterator[tuple[np.ndarray, ...]]:
        taken = number = 0
        while taken < total:
            for batch in epoch(number):
                yield batch
                taken += 1
                if taken == total:
                    return
            number += 1

    @staticmethod
    def _read(pending: list[tuple[Any, Any, Any]], number: int) -> tuple[float, float, float]:
        """Bring pending results to the host: the mean loss, the targets, the last gradient norm."""
        values = np.array([[float(item.asnumpy()) for item in result] for result in pending])
        bad = np.flatnonzero(~np.isfinite(values[:, 0]))
        if bad.size:
            first = number - len(pending) + int(bad[0]) + 1
            raise TrainingError(
                f"the loss of step {first} is {values[bad[0], 0]}", value=first,
                hint="lower learning_rate, raise warmup_steps, or look at the data of that step",
            )
        weights = values[:, 1]
        return float((values[:, 0] * weights).sum() / max(weights.sum(), 1)), float(weights.sum()), float(values[-1, 2])
