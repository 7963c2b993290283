"""Steps that a cell of the user's own takes, such as ``mindspore.nn.TrainOneStepCell``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from ...errors import ArgumentError
from ...nn import set_random_key
from ..arguments import TrainingArguments
from .protocol import Batch


class CustomStep:
    """Takes each step by the cell that ``wrapper(network, optimizer)`` makes; it returns the loss, first or alone.

    Args:
        network: Maps a batch to ``(loss, targets)``; the cell gets one that gives the loss.
        optimizer: A ``mindspore.nn`` optimizer.
        wrapper: Makes the cell, as ``nn.TrainOneStepCell`` does.
        args: The seed. Clipping and accumulation are the cell's own affair.

    Raises:
        ArgumentError: There is no optimizer, or batches are to be accumulated.
    """

    def __init__(
        self, network: nn.Cell, optimizer: nn.Optimizer | None, wrapper: Callable[..., nn.Cell], args: TrainingArguments
    ) -> None:
        if optimizer is None:
            raise ArgumentError("wrapper needs an optimizer to wrap", hint="pass Trainer(optimizers=…) as well")
        if args.gradient_accumulation_steps > 1:
            raise ArgumentError(
                f"gradient_accumulation_steps={args.gradient_accumulation_steps} does not go with a wrapper",
                value=args.gradient_accumulation_steps, hint="a cell that accumulates does so itself",
            )  # fmt: skip
        self.network, self.cell = network, wrapper(_LossAlone(network), optimizer)
        self.seed = args.seed

    scaled = False

    def refresh(self) -> None:
        """See :class:`Step`: the cell updates the model's own weights."""

    def state(self) -> dict[str, Parameter]:
        """Return the state needed to resume, besides the weights, by name."""
        weights = {id(p) for p in self.network.get_parameters()}
        return {p.name: p for p in self.cell.get_parameters() if id(p) not in weights}

    def run(self, number: int, rate: float, batches: Sequence[Batch]) -> tuple[Any, Any, Any]:
        """Take a step; the number of targets counts as 1, and the gradient's norm is not known."""
        set_random_key(self.seed, number, 0)
        output = self.cell(*map(Tensor, batches[0]))
        loss = output[0] if isinstance(output, tuple) else output
        return loss, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)


class _LossAlone(nn.Cell):
    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *batch: Tensor) -> Tensor:
        loss, _ = self.network(*batch)
        return loss
