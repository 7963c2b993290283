"""Steps that several processes take together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from ...nn import set_random_key
from ...optim.optimizers import Optimizer
from ..arguments import TrainingArguments
from .grad_reducer import GradReducer
from .protocol import Batch
from .train_step import TrainStep


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch.

    Attributes:
        number: Index of its batch within the step.
        first_row: Index of its first row in the global batch, that of all model copies together.
        batch: Its arrays.
    """

    number: int
    first_row: int
    batch: tuple[Tensor, ...]


class ClusterStep(TrainStep):
    """Takes optimisation steps together with other processes, of which each calls it.

    Args:
        network: As for :class:`TrainStep`; of this process's part of the model.
        optimizer: Updates what ``reducer`` says is this process's to update.
        args: As for :class:`TrainStep`.
        scaled: As for :class:`TrainStep`.
        reducer: What the processes say to each other.
        accumulates: Whether gradients are always added up; None: where there are several micro-batches.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: Optimizer,
        args: TrainingArguments,
        *,
        scaled: bool,
        reducer: GradReducer,
        accumulates: bool | None = None,
    ) -> None:
        if accumulates is None:
            accumulates = args.gradient_accumulation_steps * reducer.micro_batches > 1
        super().__init__(
            network, optimizer, args, scaled=scaled, weights=reducer.weights, accumulates=accumulates, summed=True
        )
        self.reducer, self.shares, self.world = reducer, reducer.shares, reducer.world

    def refresh(self) -> None:
        """See :class:`Step`."""
        self.reducer.refresh()

    def run(self, number: int, rate: float, batches: Sequence[Batch]) -> tuple[Any, Any, Any]:
        """See the base class; the results are those of all processes."""
        parts = self._parts(batches)
        if self.accumulates:
            self.add_gradients(number, parts)
            loss, targets, gradients = self.loss_sum, self.target_sum, tuple(self.sums)
        else:
            self.set_key(number, parts[0])
            loss, targets, gradients = self.gradients(*parts[0].batch)
        loss, targets = self.reducer.totals(loss, targets)
        result = self.update(Tensor(rate, ms.float32), loss, targets, *self.reducer.reduce(gradients))
        self.reducer.broadcast_weights()
        return result  # type: ignore[no-any-return]

    def add_gradients(self, number: int, parts: Sequence[MicroBatch]) -> None:
        """Add the gradients of micro-batches to the sums."""
        for part in parts:
            self.set_key(number, part)
            self.gather(*part.batch)

    def set_key(self, step: int, part: MicroBatch) -> None:
        """Set what dropout draws from: what one process would draw that took the batch of all copies."""
        set_random_key(self.seed, step, part.number, first_row=part.first_row)

    def _parts(self, batches: Sequence[Batch]) -> list[MicroBatch]:
        parts = []
        for number, batch in enumerate(batches):
            rows, size = len(batch[0]), self.reducer.part_size(batch)
            before = self.reducer.layout.data_rank * rows
            for start in range(0, rows, size):
                arrays = tuple(Tensor(array[start : start + size]) for array in batch)
                parts.append(MicroBatch(number, before + start, arrays))
        return parts

    @ms.jit
    def gradients(self, *batch: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return a batch's loss, targets and gradients, summed over the targets."""
        (_, loss, targets), gradients = self.gradient(*batch)
        return loss, targets, gradients

    @ms.jit
    def update(self, rate: Tensor, loss: Tensor, targets: Tensor, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the step with what all processes have summed."""
        return self.finish(rate, loss, targets, gradients)

    def squares(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """See the base class: each gradient counts once, however many processes hold it."""
        total = Tensor(0.0, ms.float32)
        for i in range(self.count):
            total = total + ops.square(gradients[i]).sum() * self.shares[i]
        return self.world.all_reduce(total.reshape((1,)))[0]
