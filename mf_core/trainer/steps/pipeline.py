"""Steps of one stage of a pipeline: which micro-batch goes forward and which back, and when.

The order is that of one forward, one backward (Narayanan et al., 2021, section 2.2.1): a stage begins with as many
forward passes as there are stages after it, then alternates, and ends with the backward passes that are left. So it
holds the inputs of at most as many micro-batches as there are stages from it to the end. Stages before the last keep
only those inputs: the backward pass recomputes the stage's activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ...backends.base import get_backend
from ...optim.optimizers import Optimizer
from ...parallel import Layout
from ..arguments import TrainingArguments
from ..recipe import TrainingRecipe
from .cluster_step import ClusterStep, MicroBatch
from .grad_reducer import GradReducer


class Neighbours:
    """Speaks with the stages before and after this one.

    Args:
        layout: The grid, and this process's rank.
    """

    def __init__(self, layout: Layout) -> None:
        self.before, self.after = (self._pair(layout, step) for step in (-1, 1))

    @staticmethod
    def _pair(layout: Layout, step: int) -> Any:
        stage = layout.stage + step
        if not 0 <= stage < layout.pipeline:
            return None
        other = layout.rank_of(stage, layout.data_rank, layout.tensor_rank)
        return get_backend().collectives(sorted((layout.rank, other)), layout.rank)

    def receive_hidden(self, like: Tensor) -> Tensor | None:
        """Return the previous stage's output; None in the first stage."""
        return None if self.before is None else self.before.recv(like, 0)

    def send_hidden(self, hidden: Tensor) -> None:
        """Give the stage after what this one has made; the last stage gives nothing."""
        if self.after is not None:
            self.after.send(hidden, 1)

    def receive_gradient(self, like: Tensor) -> Tensor | None:
        """Return the gradient of what this stage has made; None in the last stage."""
        return None if self.after is None else self.after.recv(like, 1)

    def send_gradient(self, gradient: Tensor | None) -> None:
        """Give the stage before the gradient of what it has made."""
        if self.before is not None:
            self.before.send(gradient, 0)

    def swap_after(self, hidden: Tensor) -> Tensor | None:
        """Give the stage after what this one has made, and return a gradient from it."""
        return None if self.after is None else self.after.exchange(hidden)

    def swap_before(self, gradient: Tensor | None) -> Tensor | None:
        """Give the stage before a gradient, and return what it has made."""
        return None if self.before is None else self.before.exchange(gradient)


class PipelineStep(ClusterStep):
    """Takes optimisation steps in a stage of a pipeline.

    Args:
        recipe: Makes the stage's network.
        optimizer: Updates the stage's weights.
        args: As for :class:`TrainStep`.
        scaled: As for :class:`TrainStep`.
        reducer: What the processes say to each other.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        optimizer: Optimizer,
        args: TrainingArguments,
        *,
        scaled: bool,
        reducer: GradReducer,
    ) -> None:
        network, layout = recipe.stage(), reducer.layout
        super().__init__(network, optimizer, args, scaled=scaled, reducer=reducer, accumulates=True)
        self.network, self.recipe, self.layout = network, recipe, layout
        self.is_first = layout.is_first
        objective = _StageObjective(network, self.scale if scaled else None, layout.is_last)
        # The gradient of what the stage before made comes first, but in the first stage.
        argument = None if self.is_first else 0
        self.gradient = ms.value_and_grad(objective, argument, weights=self.weights, has_aux=True)
        self.neighbours = Neighbours(layout)
        self.is_compiled = False

    def compile_graphs(self, like: Tensor, batch: tuple[Tensor, ...]) -> None:
        """Compile this stage's graphs, on zeros, while the other stages compile theirs.

        In the schedule they would wait for each other's compiling, one after the other; and a message on CPU is waited
        for 30 s, not longer.
        """
        hidden, gradient = None if self.is_first else like, None if self.layout.is_last else like
        if not self.layout.is_last:
            self.forward(hidden, *batch)
        self.backward(hidden, gradient, *batch)
        for total in (*self.sums, self.loss_sum, self.target_sum):
            ops.assign(total, Tensor(np.zeros(total.shape, np.float32)))
        self.target_sum.asnumpy()
        self.is_compiled = True

    def add_gradients(self, number: int, parts: Sequence[MicroBatch]) -> None:
        """See the base class."""
        layout, talk = self.layout, self.neighbours
        like = self.recipe.hidden_like(parts[0].batch)
        if not self.is_compiled:
            self.compile_graphs(like, parts[0].batch)
        waiting: list[Tensor | None] = []
        forward, backward = iter(parts), iter(parts)

        def go_forward(hidden: Tensor | None) -> Tensor | None:
            part = next(forward)
            waiting.append(hidden)
            if layout.is_last:
                return None  # its forward pass is part of its backward pass, which follows at once
            self.set_key(number, part)
            return self.forward(hidden, *part.batch)

        def go_backward(gradient: Tensor | None) -> Tensor | None:
            part = next(backward)
            self.set_key(number, part)
            return self.backward(waiting.pop(0), gradient, *part.batch)

        ahead = min(layout.pipeline - layout.stage - 1, len(parts))
        for _ in range(ahead):
            talk.send_hidden(go_forward(talk.receive_hidden(like)))
        hidden = talk.receive_hidden(like) if ahead < len(parts) else None
        for i in range(ahead, len(parts)):
            gradient = go_backward(talk.swap_after(go_forward(hidden)))
            if i + 1 < len(parts):
                hidden = talk.swap_before(gradient)
            else:
                talk.send_gradient(gradient)
        for _ in range(ahead):
            talk.send_gradient(go_backward(talk.receive_gradient(like)))

    @ms.jit
    def forward(self, hidden: Tensor | None, *batch: Tensor) -> Tensor:
        """Return what this stage makes of a micro-batch."""
        return self.network(hidden, *batch)[0]

    @ms.jit
    def backward(self, hidden: Tensor | None, gradient: Tensor | None, *batch: Tensor) -> Tensor | None:
        """Add a micro-batch's gradients to the sums, and return that of ``hidden``."""
        (_, loss, targets), gradients = self.gradient(hidden, gradient, *batch)
        if self.is_first:
            self.add(loss, targets, gradients)
            return loss
        self.add(loss, targets, gradients[1])
        return gradients[0]


class _StageObjective(nn.Cell):
    """What a stage differentiates, then its part of the loss, and the targets."""

    def __init__(self, network: nn.Cell, scale: Parameter | None, is_last: bool) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.scale, self.is_last = network, scale, is_last

    def construct(self, hidden: Tensor | None, gradient: Tensor | None, *batch: Tensor) -> tuple[Tensor, ...]:
        if self.is_last:
            loss, targets = self.network(hidden, *batch)
            loss = loss * targets
            return loss if self.scale is None else loss * self.scale, loss, targets
        made, auxiliary, targets = self.network(hidden, *batch)
        loss = auxiliary * targets
        scaled = loss if self.scale is None else loss * self.scale
        return (ops.cast(made, ms.float32) * ops.cast(gradient, ms.float32)).sum() + scaled, loss, targets


class PipelineEvaluation(nn.Cell):
    """Takes batches through the stages of a pipeline: maps the arrays of one to its loss and targets.

    Only the last stage's are meaningful; the others return zeros.

    Args:
        recipe: Makes the stage's network.
        layout: The grid, and this process's rank.
    """

    def __init__(self, recipe: TrainingRecipe, layout: Layout) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.recipe, self.layout = recipe.stage(), recipe, layout
        self.neighbours = Neighbours(layout)

    def __call__(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Take a batch through this stage."""
        made = self.evaluate(self.neighbours.receive_hidden(self.recipe.hidden_like(batch)), *batch)
        if self.layout.is_last:
            return made[0], made[1]
        self.neighbours.send_hidden(made[0])
        return Tensor(0.0, ms.float32), Tensor(0.0, ms.float32)

    @ms.jit
    def evaluate(self, hidden: Tensor | None, *batch: Tensor) -> Any:
        """Return what the stage makes of a batch."""
        return self.network(hidden, *batch)
