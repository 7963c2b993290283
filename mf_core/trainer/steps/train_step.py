"""One optimisation step as a compiled graph: loss, gradients, clipping, update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ...nn import set_random_key
from ...nn.kernels import kernel
from ...optim.optimizers import Optimizer
from ..arguments import TrainingArguments
from .protocol import Batch

#: Steps without overflow after which the loss scale is doubled, as in torch's GradScaler.
_GROWTH_STEPS = 2000


class TrainStep(nn.Cell):
    """Takes optimisation steps.

    A step whose loss or gradient is not finite, or that has no targets, changes nothing.

    Args:
        network: Maps the arrays of a batch to ``(loss, targets)``, its mean loss and over how many targets.
        optimizer: Updates the weights.
        args: Clipping, accumulation, seed, first loss scale.
        scaled: Whether the loss is scaled, as computing in fp16 wants.
        weights: What is differentiated by; None: what the optimizer updates.
        accumulates: Whether gradients of several batches are added up; None: as ``args`` says.
        summed: Whether what is differentiated is the sum over the targets, which is divided when all of them are known;
            so it is in any case where gradients are added up.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: Optimizer,
        args: TrainingArguments,
        *,
        scaled: bool,
        weights: ParameterTuple | None = None,
        accumulates: bool | None = None,
        summed: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.max_norm = args.max_grad_norm
        self.scaled = scaled
        self.accumulates = args.gradient_accumulation_steps > 1 if accumulates is None else accumulates
        self.summed = self.accumulates or summed
        self.weights = optimizer.weights if weights is None else weights
        self.count = len(self.weights)
        self.scale = _scalar(args.initial_loss_scale if scaled else 1.0, "step.loss_scale")
        self.good_steps = _scalar(0.0, "step.good_steps")
        self.sums = ParameterTuple([
            Parameter(ops.zeros_like(w), name=f"step.sum.{w.name}", requires_grad=False)
            for w in (self.weights if self.accumulates else ())
        ])  # fmt: skip
        self.loss_sum, self.target_sum = _scalar(0.0, "step.loss_sum"), _scalar(0.0, "step.target_sum")
        objective = _Objective(network, self.scale if scaled else None, self.summed)
        self.gradient = ms.value_and_grad(objective, None, weights=self.weights, has_aux=True)
        self.seed = args.seed
        self.fused = optimizer.fused is not None
        self.squares_kernel = kernel("sum_of_squares")

    def state(self) -> dict[str, Parameter]:
        """Return the state needed to resume, besides the weights, by name."""
        return {**self.optimizer.state(), "step.loss_scale": self.scale, "step.good_steps": self.good_steps}

    def refresh(self) -> None:
        """See :class:`Step`: the optimizer updates the model's own weights."""

    def run(self, number: int, rate: float, batches: Sequence[Batch]) -> tuple[Any, Any, Any]:
        """Take step ``number`` at the learning rate ``rate``.

        Args:
            number: From 1; with the seed, it determines the dropout.
            rate: Learning rate.
            batches: One for each of ``gradient_accumulation_steps``, or fewer.

        Returns:
            Mean loss, number of targets, and the gradient's global norm before clipping, all on the device.
        """
        *earlier, last = batches
        for index, batch in enumerate(earlier):
            set_random_key(self.seed, number, index)
            self.gather(*map(Tensor, batch))
        set_random_key(self.seed, number, len(earlier))
        return self(Tensor(rate, ms.float32), *map(Tensor, last))  # type: ignore[no-any-return]

    @ms.jit
    def gather(self, *batch: Tensor) -> Tensor:
        """Add a batch's gradients to the sums."""
        (_, loss, targets), gradients = self.gradient(*batch)
        return self.add(loss, targets, gradients)

    def add(self, loss: Tensor, targets: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        """Add loss, targets and gradients to the sums."""
        for i in range(self.count):
            ops.assign_add(self.sums[i], gradients[i])
        ops.assign_add(self.loss_sum, loss)
        return ops.assign_add(self.target_sum, targets)

    @ms.jit
    def construct(self, rate: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the step with a last, or only, batch."""
        (_, loss, targets), gradients = self.gradient(*batch)
        if self.accumulates:
            whole: tuple[Tensor, ...] = ()
            for i in range(self.count):
                whole = whole + (self.sums[i] + gradients[i],)
            loss, targets, gradients = self.loss_sum + loss, self.target_sum + targets, whole
        return self.finish(rate, loss, targets, gradients)

    def finish(
        self, rate: Tensor, loss: Tensor, targets: Tensor, gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update the weights, and empty the sums."""
        share = Tensor(1.0, ms.float32)
        if self.summed:
            share = 1.0 / ops.maximum(targets, share)
            loss = loss * share
        if self.summed or self.scaled:
            divided: tuple[Tensor, ...] = ()
            for gradient in gradients:
                divided = divided + (gradient * (share / self.scale),)
            gradients = divided
        norm = ops.sqrt(self.squares(gradients))
        factor = Tensor(1.0, ms.float32)
        if self.max_norm > 0:
            factor = ops.minimum(self.max_norm / (norm + 1e-6), factor)
        finite = ops.logical_and(ops.isfinite(norm), ops.isfinite(loss))
        updates = ops.logical_and(finite, targets > 0)  # without targets, weight decay alone would change the weights
        if self.fused:
            norm = ops.depend(norm, self.optimizer.update_where(updates, gradients, factor, rate))
        elif updates:
            self.optimizer(gradients, factor, rate)
        if self.scaled:
            self._adjust_scale(finite)
        if self.accumulates:
            for i in range(self.count):
                ops.assign(self.sums[i], ops.depend(ops.zeros_like(self.sums[i]), norm))
            ops.assign(self.loss_sum, Tensor(0.0, ms.float32))
            ops.assign(self.target_sum, Tensor(0.0, ms.float32))
        return loss, targets, norm

    def squares(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Return the sum of the squares of the whole gradient."""
        if self.squares_kernel is not None:
            total = self.squares_kernel(gradients).reshape(())
        else:
            total = Tensor(0.0, ms.float32)
            for gradient in gradients:
                total = total + ops.square(gradient).sum()
        return total

    def _adjust_scale(self, finite: Tensor) -> Tensor:
        good = ops.select(finite, self.good_steps + 1.0, ops.zeros_like(self.good_steps))
        grown = good >= _GROWTH_STEPS
        scale = ops.select(finite, self.scale * ops.select(grown, Tensor(2.0), Tensor(1.0)), self.scale * 0.5)
        ops.assign(self.good_steps, ops.select(grown, ops.zeros_like(good), good))
        return ops.assign(self.scale, ops.maximum(scale, Tensor(1.0, ms.float32)))


class _Objective(nn.Cell):
    """What is differentiated, then the loss without its scale, and the targets.

    Args:
        network: Gives the mean loss and the targets.
        scale: What the loss is multiplied by; None: nothing.
        summed: Whether the loss is to be the sum over the targets.
    """

    def __init__(self, network: nn.Cell, scale: Parameter | None, summed: bool) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.scale, self.summed = network, scale, summed

    def construct(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, targets = self.network(*batch)
        if self.summed:
            loss = loss * targets
        return loss if self.scale is None else loss * self.scale, loss, targets


def _scalar(value: float, name: str) -> Parameter:
    return Parameter(Tensor(value, ms.float32), name=name, requires_grad=False)
