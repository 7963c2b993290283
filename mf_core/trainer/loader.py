"""The batches of steps, made of a dataset: in an order that the seed gives, from any batch on, prepared ahead."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from ..data import content_digest, is_dataset, shards_of, size_of
from ..errors import DataError
from .arguments import TrainingArguments
from .recipe import DataSummary, TrainingRecipe
from .rng import RandomState, random_state, restore_random_state

Batch = tuple[np.ndarray, ...]
T = TypeVar("T")


class StreamEnded(DataError):
    """A stream that can be read once has been read to its end."""


@dataclass(frozen=True)
class Group:
    """The batches of one step.

    Attributes:
        batches: One for each of ``gradient_accumulation_steps``; fewer at the end of a pass.
        epoch: The pass, from 0.
        first: Number of the first batch in the pass, from 0.
        ends_epoch: Whether the pass ends with it.
        state: Python's and numpy's generators as they have to be to continue after it: see :meth:`Loader.groups`.
    """

    batches: tuple[Batch, ...]
    epoch: int
    first: int
    ends_epoch: bool
    state: RandomState


class Loader:
    """The training data of a run.

    A dataset with a length is shuffled again in each pass, and the rows that do not fill a last batch are left out of
    it; a stream keeps its order; a dataset with its own batches keeps those.

    Where several copies of the model train together, each takes its part of every batch of all copies, in the same
    order; of a dataset with its own batches the copies take one after the other, unless it gives each its own.

    Args:
        recipe: The task's.
        dataset: As the user gave it.
        args: Batch size, accumulation, seeds, length of the run.
        copy: Which copy of the model this process is of.
        copies: How many there are.

    Attributes:
        batches_per_epoch: None for a stream.
        max_steps: Steps of the whole run.
        epochs: Passes of the whole run; infinite for a stream.

    Raises:
        DataError: There is no data, or less than a batch; or a stream, whose end is not known, without ``max_steps``.
    """

    def __init__(
        self, recipe: TrainingRecipe, dataset: Any, args: TrainingArguments, copy: int = 0, copies: int = 1
    ) -> None:
        if dataset is None:
            raise DataError("there is no train_dataset", hint="pass Trainer(train_dataset=…)")
        self._recipe, self._dataset, self._args = recipe, dataset, args
        self._copy, self._copies = copy, copies
        self._seed = args.seed if args.data_seed is None else args.data_seed
        self._own = recipe.batches(dataset) is not None
        self._examples: Any = None if self._own else recipe.examples(dataset)
        self._digest = None if self._own else content_digest(self._examples)
        self.batches_per_epoch = self._count()
        if self.batches_per_epoch is None and args.max_steps <= 0:
            raise DataError(
                "the train_dataset has no length, so the number of steps is not known", value=dataset,
                hint="set max_steps",
            )  # fmt: skip
        per_epoch = self.steps_per_epoch
        self.max_steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * (per_epoch or 0))
        self.epochs = self.max_steps / per_epoch if per_epoch else math.inf

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of a pass; None for a stream."""
        batches = self.batches_per_epoch
        return None if batches is None else math.ceil(batches / self._args.gradient_accumulation_steps)

    @property
    def _is_indexed(self) -> bool:
        return not self._own and self.batches_per_epoch is not None

    def _count(self) -> int | None:
        size = self._args.per_device_train_batch_size * self._copies
        if self._own:
            if is_dataset(self._dataset) and shards_of(self._dataset) == self._copies:
                self._copy, self._copies = 0, 1
            count = size_of(self._dataset) if is_dataset(self._dataset) else -1
            if count == 0:
                raise DataError("the train_dataset has no batches", value=self._dataset)
            if 0 < count < self._copies:
                raise DataError(
                    f"there are {count} batches, fewer than the {self._copies} copies of the model", value=count,
                    hint="give more data, or make smaller batches",
                )  # fmt: skip
            return None if count < 0 else count // self._copies
        if not isinstance(self._examples, Sequence):
            return None
        if len(self._examples) < size:
            raise DataError(
                f"there are {len(self._examples)} examples, fewer than a batch of {size}", value=len(self._examples),
                why=f"{self._copies} copies of the model take a part each" if self._copies > 1 else None,
                hint="lower batch_size or give more data",
            )  # fmt: skip
        return len(self._examples) // size

    def groups(self, epoch: int = 0, batches_taken: int = 0, state: RandomState | None = None) -> Iterator[Group]:
        """Return the batches of each step, without end, prepared ahead by a thread.

        Args:
            epoch: The pass to begin in.
            batches_taken: Batches of it that have been used already.
            state: The ``state`` of the last group that was used, for datasets that draw from those generators.
        """
        return ahead(lambda: self._groups(epoch, batches_taken, state))

    def _groups(self, epoch: int, taken: int, state: RandomState | None) -> Iterator[Group]:
        size = self._args.gradient_accumulation_steps
        while True:
            if epoch and not getattr(self._examples, "repeatable", True):
                raise StreamEnded(
                    f"the train_dataset ended: it cannot be read again for pass {epoch + 1}", value=self._dataset,
                    why="a generator can be read only once",
                    hint="give an object that can be iterated over again, or fewer max_steps",
                )  # fmt: skip
            if state is not None:
                restore_random_state(state)
            began, state = random_state(), None
            batches, first = self._epoch(epoch, taken), taken
            current, after = list(islice(batches, size)), random_state()
            if not current and taken == 0:
                raise (StreamEnded if epoch else DataError)(
                    f"the train_dataset has no batch in pass {epoch + 1}", value=self._dataset,
                    why="a generator can be read only once" if epoch else None,
                    hint="give an object that can be iterated over again, or fewer max_steps",
                )  # fmt: skip
            while current:
                following = list(islice(batches, size))
                # Data without indices is read from the beginning of the pass again.
                needed = began if following and not self._is_indexed else after
                yield Group(tuple(current), epoch, first, not following, needed)
                first += len(current)
                current, after = following, random_state()
            epoch, taken = epoch + 1, 0

    def _epoch(self, epoch: int, taken: int) -> Iterator[Batch]:
        copy, copies = self._copy, self._copies
        each = self._args.per_device_train_batch_size
        size, own = each * copies, slice(copy * each, (copy + 1) * each)
        if self._own:
            batches = iter(self._recipe.batches(self._dataset, seed=self._seed + epoch) or ())
            batches = islice(batches, taken * copies, None)
            while len(turn := list(islice(batches, copies))) == copies:
                yield turn[copy]
        elif self.batches_per_epoch is None:
            examples = islice(self._examples, taken * size, None)
            while len(rows := list(islice(examples, size))) == size:
                yield self._recipe.collate(rows[own])
        else:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._examples))
            for number in range(taken, self.batches_per_epoch):
                indices = order[number * size : (number + 1) * size]
                yield self._recipe.collate([self._examples[int(i)] for i in indices[own]])

    def describe(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with this one, to resume where it stopped."""
        return {
            "batches_per_epoch": self.batches_per_epoch,
            "batch_size": None if self._own else self._args.per_device_train_batch_size * self._copies,
            "gradient_accumulation_steps": self._args.gradient_accumulation_steps,
            "data_seed": self._seed,
            "digest": self._digest,
        }

    def summary(self) -> DataSummary:
        """Return counts of the data, and of the run's steps."""
        counts = DataSummary() if self._own else self._recipe.summary(self._examples)
        return replace(counts, steps_per_epoch=self.steps_per_epoch, steps=self.max_steps)


def evaluation_batches(
    recipe: TrainingRecipe, dataset: Any, size: int, copy: int = 0, copies: int = 1
) -> Iterator[tuple[Batch, int]]:
    """Return one pass over an evaluation's data, in its order, prepared ahead.

    Each batch comes with its number of examples; the last one is filled up with rows that are none. Each of several
    copies of the model gets its part of every batch, and as many batches as the others.
    """
    name = "eval_dataset"
    if dataset is None:
        raise DataError(f"there is no {name}", hint=f"pass Trainer({name}=…)")
    own = recipe.batches(dataset, name)
    if own is not None:
        if is_dataset(dataset) and shards_of(dataset) == copies:
            copy, copies = 0, 1
        return ahead(lambda: ((batch, len(batch[0])) for batch in islice(own, copy, None, copies)))
    examples = iter(recipe.examples(dataset, name))

    def batches() -> Iterator[tuple[Batch, int]]:
        while some := list(islice(examples, size * copies)):
            rows = recipe.fill(some, size * copies)[copy * size : (copy + 1) * size]
            yield recipe.collate(rows), min(max(len(some) - copy * size, 0), len(rows))

    return ahead(batches)


def ahead(make: Callable[[], Iterable[T]], depth: int = 4) -> Iterator[T]:
    """Return the items of an iterable that a thread goes through, up to ``depth`` items ahead of the reader."""
    items: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                items.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in make():
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, name="mf-data", daemon=True)
    thread.start()
    try:
        while True:
            item, error = items.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join(timeout=10)
