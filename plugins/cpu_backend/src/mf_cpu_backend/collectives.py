"""Collective operations on CPU, where MindSpore has AllReduce (sum; fp32, fp16) for groups, and no more than that.

Its AllGather and Broadcast serve the whole cluster alone. So the others are sums here: of arrays that are zeros but for
what a process has to say.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mf_core.backends.collectives import Collectives
from mf_core.errors import ArgumentTypeError


class CPUCollectives(Collectives):
    """The operations that are missing, made of sums."""

    def make_operators(self) -> None:
        """See the base class."""
        self.reduce_op = ops.AllReduce(group=self.group)
        self._pairs: dict[int, CPUCollectives] = {}

    def run_all_reduce(self, x: Tensor) -> Tensor:
        """See the base class. Whole numbers travel as two halves, which fp32 holds exactly for up to 256 processes."""
        _check_type(x.dtype)
        if x.dtype != ms.int32:
            return self.reduce_op(x)
        low = ops.bitwise_and(x, Tensor(0xFFFF, ms.int32))
        high = ops.bitwise_right_shift(x - low, Tensor(16, ms.int32))
        halves = self.reduce_op(ops.cast(ops.stack((high, low)), ms.float32))
        return ops.cast(halves[0], ms.int32) * 0x10000 + ops.cast(halves[1], ms.int32)

    def run_all_gather(self, x: Tensor) -> Tensor:
        """See the base class."""
        rows = ops.broadcast_to(x.reshape((1, -1)), (self.size, x.size))
        # All processes have the same graph but for a constant: so the order of its collectives is the same.
        own = ops.broadcast_to(Tensor([[i == self.index] for i in range(self.size)], ms.bool_), rows.shape)
        picked = ops.select(own, rows, _zeros(rows))
        return self.all_reduce(picked).reshape((self.size * x.shape[0], *x.shape[1:]))

    def run_reduce_scatter(self, x: Tensor) -> Tensor:
        """See the base class."""
        parts = self.all_reduce(x).reshape((self.size, -1))
        # Not a slice, whose form depends on whether it begins at 0 or ends at the end: see run_all_gather.
        own = ops.Gather()(parts, Tensor(self.index, ms.int32), 0)
        return own.reshape((x.shape[0] // self.size, *x.shape[1:]))

    def run_broadcast(self, x: Tensor, root: int) -> Tensor:
        """See the base class."""
        own = ops.broadcast_to(Tensor(self.index == root, ms.bool_), x.shape)
        return self.all_reduce(ops.select(own, x, _zeros(x)))

    def run_send(self, x: Tensor, to: int) -> None:
        """See the base class."""
        self._pair(to).all_reduce(x).asnumpy()

    def run_recv(self, like: Tensor, source: int) -> Tensor:
        """See the base class."""
        return self._pair(source).all_reduce(_zeros(like))

    def run_exchange(self, x: Tensor) -> Tensor:
        """See the base class."""
        return self.all_gather(x.reshape((1, *x.shape)))[1 - self.index]

    def _pair(self, other: int) -> CPUCollectives:
        """Return the collectives of this process and another."""
        if self.size == 2:
            return self
        if other not in self._pairs:
            me, you = self.ranks[self.index], self.ranks[other]
            self._pairs[other] = CPUCollectives(sorted((me, you)), me)
        return self._pairs[other]


def _zeros(x: Tensor) -> Tensor:
    """Return zeros like ``x``.

    By the operator: the function ``ops.zeros_like``, which MindSpore's own gradients use, is lost to a graph that has
    it in the gradient of a cell ("The func graph is empty").
    """
    return ops.ZerosLike()(x)


@ops.constexpr
def _check_type(dtype: ms.Type) -> None:
    if dtype not in (ms.float32, ms.float16, ms.int32):
        raise ArgumentTypeError(
            f"collectives on CPU take no {dtype}", value=dtype,
            why="MindSpore sums fp32 and fp16 there, and int32 by way of fp32", hint="cast to float32 or int32",
        )  # fmt: skip
