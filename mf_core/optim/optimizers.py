"""Optimizers, as cells that update parameters inside the compiled step.

Each is the function of the same name in torch or ``transformers``, whose formulas they follow; tests hold them equal.
They are called with gradients of the whole batch, a factor that clips them, and the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..nn.kernels import kernel
from .table import optimizer_spec

if TYPE_CHECKING:
    from ..trainer.arguments import TrainingArguments

#: What the name of a weight's part begins with, where processes update a part of each weight.
PART = "part."


class Optimizer(nn.Cell):
    """Base of the optimizers.

    Args:
        weights: What is trained; fp32.
        args: Hyper-parameters.
        decays: Whether each decays; None: all but vectors, which are biases and norms.

    Attributes:
        updates: How many updates there have been: steps that were left out do not count.
        fused: A kernel that updates weights, or None. Where there is one, so is a method ``update_where``, which takes
            whether to update as a tensor first.
    """

    fused: Any = None

    def __init__(
        self, weights: Sequence[Parameter], args: TrainingArguments, *, decays: Sequence[bool] | None = None
    ) -> None:
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(weights)
        self.count = len(self.weights)
        given = [len(w.shape) > 1 for w in self.weights] if decays is None else decays
        self.decays = tuple(args.weight_decay if decay else 0.0 for decay in given)
        self.updates = Parameter(Tensor(0, ms.int32), name="optimizer.updates", requires_grad=False)

    def slot(self, kind: str, shapes: Sequence[tuple[int, ...]] | None = None) -> ParameterTuple:
        """Return one state of zeros for each weight, of its shape unless ``shapes`` says another."""
        sizes = shapes or [tuple(w.shape) for w in self.weights]
        names = [f"optimizer.{kind}.{w.name.removeprefix(PART)}" for w in self.weights]
        return ParameterTuple([
            Parameter(ops.zeros(size, ms.float32), name=name, requires_grad=False)
            for name, size in zip(names, sizes, strict=True)
        ])  # fmt: skip

    def state(self) -> dict[str, Parameter]:
        """Return the state needed to resume, by name."""
        own = {id(w) for w in self.weights}
        return {p.name: p for p in self.get_parameters() if id(p) not in own}

    def next_update(self) -> Tensor:
        """Count one more update and return its number, from 1, as fp32."""
        return ops.cast(ops.assign_add(self.updates, Tensor(1, ms.int32)), ms.float32)

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights."""
        raise NotImplementedError


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, 2019), and with ``decoupled=False`` Adam (Kingma and Ba, 2015) with L2 decay."""

    def __init__(
        self,
        weights: Sequence[Parameter],
        args: TrainingArguments,
        *,
        decays: Sequence[bool] | None = None,
        decoupled: bool = True,
    ) -> None:
        super().__init__(weights, args, decays=decays)
        self.first, self.second = self.slot("first"), self.slot("second")
        self.beta1, self.beta2 = Tensor(args.adam_beta1, ms.float32), Tensor(args.adam_beta2, ms.float32)
        # log(beta) in double precision here, since 1 - beta^t in fp32 would lose digits.
        self.log1, self.log2 = (math.log(b) if b else -1e4 for b in (args.adam_beta1, args.adam_beta2))
        self.epsilon, self.decoupled = args.adam_epsilon, decoupled
        self.betas = (args.adam_beta1, args.adam_beta2)
        if decoupled:
            self.fused = kernel("fused_adamw")
        self.update = ops.operations.AdamWeightDecay()

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights.

        The fused operator has no bias correction, so its arguments carry it: with ``c1 = 1 - beta1^t`` and
        ``c2 = 1 - beta2^t``, ``rate * (m / c1) / (sqrt(v / c2) + eps)`` equals
        ``(rate * sqrt(c2) / c1) * m / (sqrt(v) + eps * sqrt(c2))``.
        """
        number = self.next_update()
        root = ops.sqrt(-ops.expm1(number * self.log2))
        scale = root / -ops.expm1(number * self.log1)
        for i in range(self.count):
            gradient = gradients[i] * factor
            decay = self.decays[i]
            if not self.decoupled:
                gradient, decay = gradient + self.decays[i] * self.weights[i], 0.0
            self.update(
                self.weights[i], self.first[i], self.second[i], rate * scale, self.beta1, self.beta2,
                self.epsilon * root, decay / scale, gradient,
            )  # fmt: skip
        return number

    def update_where(self, finite: Tensor, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights by the kernel if ``finite``; return something that is there when that has been done."""
        number = ops.cast(self.updates + 1, ms.float32)
        done = self.fused(
            finite, self.weights, self.first, self.second, gradients, factor, number, rate, self.betas[0],
            self.betas[1], self.epsilon, self.decays,
        )  # fmt: skip
        # Never a graph without a branch: MindSpore runs those aside, and who waits for them spins on a core.
        if ops.depend(finite, done):
            self.next_update()
        return ops.depend(number, done)


class SGD(Optimizer):
    """Plain gradient descent."""

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights."""
        for i in range(self.count):
            weight = self.weights[i]
            ops.assign(weight, weight - rate * (gradients[i] * factor + self.decays[i] * weight))
        return self.next_update()


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011), with torch's defaults."""

    def __init__(
        self, weights: Sequence[Parameter], args: TrainingArguments, *, decays: Sequence[bool] | None = None
    ) -> None:
        super().__init__(weights, args, decays=decays)
        self.squares = self.slot("squares")

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights."""
        for i in range(self.count):
            weight = self.weights[i]
            gradient = gradients[i] * factor + self.decays[i] * weight
            total = self.squares[i] + ops.square(gradient)
            ops.assign(self.squares[i], total)
            ops.assign(weight, weight - rate * gradient / (ops.sqrt(total) + 1e-10))
        return self.next_update()


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018) at a given rate: no relative steps, no scaling by the weights' size.

    Matrices keep a row and a column of second moments instead of a matrix.
    """

    def __init__(
        self, weights: Sequence[Parameter], args: TrainingArguments, *, decays: Sequence[bool] | None = None
    ) -> None:
        super().__init__(weights, args, decays=decays)
        shapes = [tuple(w.shape) for w in self.weights]
        self.factored = tuple(len(shape) > 1 for shape in shapes)
        self.rows = self.slot("rows", [s[:-1] if len(s) > 1 else s for s in shapes])
        self.columns = self.slot("columns", [s[:-2] + s[-1:] if len(s) > 1 else (1,) for s in shapes])

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights (algorithm 4, with beta2 of section 7.2 and the clipping of section 6)."""
        number = self.next_update()
        beta = 1.0 - ops.pow(number, -0.8)
        for i in range(self.count):
            gradient, weight = gradients[i] * factor, self.weights[i]
            square = ops.square(gradient) + 1e-30
            if self.factored[i]:
                row = beta * self.rows[i] + (1.0 - beta) * square.mean(-1)
                column = beta * self.columns[i] + (1.0 - beta) * square.mean(-2)
                ops.assign(self.columns[i], column)
                scaled = ops.sqrt(row / row.mean(-1, keep_dims=True)).expand_dims(-1)
                update = gradient / (scaled * ops.sqrt(column).expand_dims(-2))
            else:
                row = beta * self.rows[i] + (1.0 - beta) * square
                update = gradient / ops.sqrt(row)
            ops.assign(self.rows[i], row)
            size = ops.sqrt(ops.square(update).mean())
            update = rate * update / ops.maximum(size, Tensor(1.0, ms.float32))
            ops.assign(weight, weight - rate * self.decays[i] * weight - update)
        return number


class GivenOptimizer(Optimizer):
    """A ``mindspore.nn`` optimizer that the user made, with its own rate and decay.

    Args:
        weights: What is trained.
        args: Only its clipping is used, by the step.
        optimizer: It must hold the same parameters.
    """

    def __init__(self, weights: Sequence[Parameter], args: TrainingArguments, optimizer: nn.Optimizer) -> None:
        super().__init__(weights, args)
        self.optimizer = optimizer

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> Tensor:
        """Update the weights; ``rate`` is ignored."""
        scaled: tuple[Tensor, ...] = ()
        for gradient in gradients:
            scaled = scaled + (gradient * factor,)
        self.optimizer(scaled)
        return self.next_update()


def make_optimizer(
    weights: Sequence[Parameter], args: TrainingArguments, given: Any = None, *, decays: Sequence[bool] | None = None
) -> Optimizer:
    """Return the optimizer that the arguments name, or one around ``given``.

    Args:
        weights: What is trained, or flat parts of it.
        args: Name and hyper-parameters.
        given: A ``mindspore.nn`` optimizer.
        decays: Whether each of the weights decays, where they are flat parts.
    """
    if given is not None:
        return GivenOptimizer(weights, args, given)
    spec = optimizer_spec(args.optim)
    options = dict(spec.options) if decays is None else {**spec.options, "decays": decays}
    made: Optimizer = spec.load()(weights, args, **options)
    return made
