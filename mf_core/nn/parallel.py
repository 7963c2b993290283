"""Differentiable collectives for layers whose weights are sharded.

The scheme is Megatron's (Shoeybi et al., 2019, section 3; for activations split by position, Korthikanti et al., 2022,
section 4.2.2). Each cell gets the :class:`mf_core.backends.collectives.Collectives` of the processes that share the
weights.
Shapes: B batch, S positions, E width, n processes.

The processes of a group must have the same graph, but for the values of constants: MindSpore orders a graph's messages
by its structure. So nothing here is left out, or simplified away, in one process alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, nn, ops

if TYPE_CHECKING:
    from ..backends.collectives import Collectives


class _Edge(nn.Cell):
    """A cell that communicates within a group of processes."""

    def __init__(self, group: Collectives) -> None:
        super().__init__(auto_prefix=False)
        self.group = group


class Copy(_Edge):
    """The same forwards; the sum over the processes backwards: the way into layers whose outputs are split."""

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return the sum of the gradients."""
        return (self.group.all_reduce(dout),)


class Sum(_Edge):
    """The sum over the processes forwards; the same backwards: the way out of layers whose inputs are split."""

    def construct(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return self.group.all_reduce(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return the gradient as it is."""
        return (dout,)


class SumBoth(_Edge):
    """The sum over the processes forwards and backwards: of inputs from which each process computes a separate loss."""

    def construct(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return self.group.all_reduce(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return the sum of the gradients."""
        return (self.group.all_reduce(dout),)


class GatherPositions(_Edge):
    """All positions, ``(B, S / n, E)`` to ``(B, S, E)``, for what has a share of the gradient in each process."""

    def construct(self, x: Tensor) -> Tensor:
        """Return all positions."""
        return gather_positions(self.group, x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return this process's positions of the sum of the shares."""
        return (scatter_positions(self.group, dout),)


class AllPositions(_Edge):
    """All positions, ``(B, S / n, E)`` to ``(B, S, E)``, for what is the same, with its gradient, in each process."""

    def construct(self, x: Tensor) -> Tensor:
        """Return all positions."""
        return gather_positions(self.group, x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return this process's positions of the gradient."""
        return (local_positions(self.group, dout),)


class ScatterPositions(_Edge):
    """This process's positions of the sum over the processes, ``(B, S, E)`` to ``(B, S / n, E)``."""

    def construct(self, x: Tensor) -> Tensor:
        """Return this process's positions."""
        return scatter_positions(self.group, x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return all positions of the gradient."""
        return (gather_positions(self.group, dout),)


class LocalPositions(_Edge):
    """This process's positions of what every process has, ``(B, S, E)`` to ``(B, S / n, E)``."""

    def construct(self, x: Tensor) -> Tensor:
        """Return this process's positions."""
        return local_positions(self.group, x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return all positions of the gradient."""
        return (gather_positions(self.group, dout),)


class GatherRows(_Edge):
    """The rows of all processes, ``(B, …)`` to ``(n * B, …)``; backwards the sum of their gradients, own rows."""

    def construct(self, x: Tensor) -> Tensor:
        """Return all rows."""
        return self.group.all_gather(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return the gradient of this process's rows."""
        return (self.group.reduce_scatter(dout),)


class ScatterRows(_Edge):
    """This process's rows of the sum over the processes, ``(n * B, …)`` to ``(B, …)``."""

    def construct(self, x: Tensor) -> Tensor:
        """Return this process's rows."""
        return self.group.reduce_scatter(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return the gradient of all rows."""
        return (self.group.all_gather(dout),)


class GatherColumns(_Edge):
    """All columns of each process's part of them, ``(…, V / n)`` to ``(…, V)``."""

    def construct(self, x: Tensor) -> Tensor:
        """Return all columns."""
        rows = x.reshape((1, -1, x.shape[-1]))
        every = self.group.all_gather(rows)
        parts: tuple[Tensor, ...] = ()
        for i in range(self.group.size):
            parts = parts + (every[i],)
        return ops.concat(parts, -1).reshape(x.shape[:-1] + (-1,))

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        """Return this process's columns of the gradient, which is the same in all."""
        parts = dout.reshape((-1, self.group.size, x.shape[-1]))
        return (ops.Gather()(parts, Tensor(self.group.index, ms.int32), 1).reshape(x.shape),)


class SplitCrossEntropy(nn.Cell):
    """:class:`mf_core.nn.CrossEntropy` of logits whose columns, the vocabulary, are split over the processes."""

    def __init__(self, group: Collectives) -> None:
        super().__init__()
        self.both = _SplitCrossEntropy(group)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return ``(N,)`` losses, the same in each process.

        Args:
            logits: ``(N, V / n)`` fp32: this process's part of the vocabulary.
            labels: ``(N,)`` int32, ids of the whole vocabulary.
        """
        losses, _ = self.both(logits, labels)
        return losses


class _SplitCrossEntropy(_Edge):
    """The losses and, computed together, their gradient, ``(N, V / n)``."""

    def construct(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        count = logits.shape[-1]
        largest = logits.max(-1).reshape((1, -1))
        largest = self.group.all_gather(largest).max(0).reshape((-1, 1))
        shifted = logits - ops.broadcast_to(largest, logits.shape)
        powers = ops.exp(shifted)
        # From 1, and back by way of fp32: subtracting 0 would be simplified away in the first process alone, and
        # processes with different graphs take their messages in different orders.
        indices = ops.cast(labels - (self.group.index * count - 1), ms.float32)
        indices = ops.cast(indices - 1.0, ms.int32)
        own = ops.one_hot(indices, count, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        sums = self.group.all_reduce(ops.stack((powers.sum(-1), (shifted * own).sum(-1))))
        losses = ops.log(sums[0]) - sums[1]
        return losses, powers / ops.broadcast_to(sums[0].reshape((-1, 1)), powers.shape) - own

    def bprop(
        self, logits: Tensor, labels: Tensor, out: tuple[Tensor, Tensor], dout: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the losses; there is no second-order gradient."""
        gradient = out[1]
        return gradient * ops.broadcast_to(dout[0].reshape((-1, 1)), gradient.shape), ops.ZerosLike()(labels)


def gather_positions(group: Collectives, x: Tensor) -> Tensor:
    """``(B, S / n, E)`` of each process to ``(B, S, E)``."""
    rows, every = x.shape[0], group.all_gather(x)
    parts: tuple[Tensor, ...] = ()
    for i in range(group.size):
        parts = parts + (every[i * rows : (i + 1) * rows],)
    return ops.concat(parts, 1)


def scatter_positions(group: Collectives, x: Tensor) -> Tensor:
    """``(B, S, E)`` to this process's ``(B, S / n, E)`` of the sum over the processes."""
    each = x.shape[1] // group.size
    parts: tuple[Tensor, ...] = ()
    for i in range(group.size):
        parts = parts + (x[:, i * each : (i + 1) * each],)
    return group.reduce_scatter(ops.concat(parts, 0))


def local_positions(group: Collectives, x: Tensor) -> Tensor:
    """``(B, S, E)`` to this process's ``(B, S / n, E)``."""
    rows, positions, width = x.shape[0], x.shape[1] // group.size, x.shape[2:]
    parts = x.reshape((rows, group.size, -1))
    # Not a slice, whose form depends on whether it begins at 0 or ends at the end.
    return ops.Gather()(parts, Tensor(group.index, ms.int32), 1).reshape((rows, positions, *width))
