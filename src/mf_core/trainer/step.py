"""One optimisation step as a compiled graph: loss, gradients, clipping, update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..nn import set_random_key
from .arguments import TrainingArguments
from .optimizers import Optimizer

#: Steps without overflow after which the loss scale is doubled, as in torch's GradScaler.
_GROWTH_STEPS = 2000

Batch = tuple[np.ndarray, ...]


class TrainStep(nn.Cell):
    """Takes optimisation steps.

    A step whose loss or gradient is not finite changes nothing.

    Args:
        network: Maps the arrays of a batch to ``(loss, targets)``, its mean loss and over how many targets.
        optimizer: Updates the weights.
        args: Clipping, accumulation, seed, first loss scale.
        scaled: Whether the loss is scaled, as computing in fp16 wants.
    """

    def __init__(self, network: nn.Cell, optimizer: Optimizer, args: TrainingArguments, *, scaled: bool) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.max_norm = args.max_grad_norm
        self.scaled, self.accumulates = scaled, args.gradient_accumulation_steps > 1
        weights = optimizer.weights
        self.count = len(weights)
        self.scale = _scalar(args.initial_loss_scale if scaled else 1.0, "step.loss_scale")
        self.good_steps = _scalar(0.0, "step.good_steps")
        self.sums = ParameterTuple([
            Parameter(ops.zeros_like(w), name=f"step.sum.{w.name}", requires_grad=False)
            for w in (weights if self.accumulates else ())
        ])  # fmt: skip
        self.loss_sum, self.target_sum = _scalar(0.0, "step.loss_sum"), _scalar(0.0, "step.target_sum")
        loss = _ScaledLoss(network, self.scale) if scaled else network
        self.gradient = ms.value_and_grad(loss, None, weights=weights, has_aux=True)
        self.seed = args.seed

    def state(self) -> dict[str, Parameter]:
        """Return what must be kept to go on, beside the weights, by name."""
        return {**self.optimizer.state(), "step.loss_scale": self.scale, "step.good_steps": self.good_steps}

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
        for place, batch in enumerate(earlier):
            set_random_key(self.seed, number, place)
            self.gather(*map(Tensor, batch))
        set_random_key(self.seed, number, len(earlier))
        return self(Tensor(rate, ms.float32), *map(Tensor, last))  # type: ignore[no-any-return]

    @ms.jit
    def gather(self, *batch: Tensor) -> Tensor:
        """Add a batch's gradients, weighted by its targets, to the sums."""
        (loss, targets), gradients = self._gradients(batch)
        for i in range(self.count):
            ops.assign_add(self.sums[i], gradients[i] * targets)
        ops.assign_add(self.loss_sum, loss * targets)
        return ops.assign_add(self.target_sum, targets)

    @ms.jit
    def construct(self, rate: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the step with a last, or only, batch."""
        (loss, targets), gradients = self._gradients(batch)
        if self.accumulates:
            total = self.target_sum + targets
            share = 1.0 / ops.maximum(total, Tensor(1.0, ms.float32))
            whole: tuple[Tensor, ...] = ()
            for i in range(self.count):
                whole = whole + ((self.sums[i] + gradients[i] * targets) * share,)
            loss, targets, gradients = (self.loss_sum + loss * targets) * share, total, whole
        squares = Tensor(0.0, ms.float32)
        for gradient in gradients:
            squares = squares + ops.square(gradient).sum()
        norm = ops.sqrt(squares)
        factor = Tensor(1.0, ms.float32)
        if self.max_norm > 0:
            factor = ops.minimum(self.max_norm / (norm + 1e-6), factor)
        finite = ops.logical_and(ops.isfinite(norm), ops.isfinite(loss))
        if finite:
            self.optimizer(gradients, factor, rate)
        if self.scaled:
            self._adjust_scale(finite)
        if self.accumulates:
            for i in range(self.count):
                ops.assign(self.sums[i], ops.zeros_like(self.sums[i]))
            ops.assign(self.loss_sum, Tensor(0.0, ms.float32))
            ops.assign(self.target_sum, Tensor(0.0, ms.float32))
        return loss, targets, norm

    def _gradients(self, batch: tuple[Tensor, ...]) -> Any:
        if not self.scaled:
            return self.gradient(*batch)
        (_, loss, targets), gradients = self.gradient(*batch)
        inverse = 1.0 / self.scale
        unscaled: tuple[Tensor, ...] = ()
        for gradient in gradients:
            unscaled = unscaled + (gradient * inverse,)
        return (loss, targets), unscaled

    def _adjust_scale(self, finite: Tensor) -> Tensor:
        good = ops.select(finite, self.good_steps + 1.0, ops.zeros_like(self.good_steps))
        grown = good >= _GROWTH_STEPS
        scale = ops.select(finite, self.scale * ops.select(grown, Tensor(2.0), Tensor(1.0)), self.scale * 0.5)
        ops.assign(self.good_steps, ops.select(grown, ops.zeros_like(good), good))
        return ops.assign(self.scale, ops.maximum(scale, Tensor(1.0, ms.float32)))


class _ScaledLoss(nn.Cell):
    """The loss times a scale, which is what is differentiated; the loss itself and the targets beside it."""

    def __init__(self, network: nn.Cell, scale: Parameter) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.scale = network, scale

    def construct(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, targets = self.network(*batch)
        return loss * self.scale, loss, targets


def _scalar(value: float, name: str) -> Parameter:
    return Parameter(Tensor(value, ms.float32), name=name, requires_grad=False)
