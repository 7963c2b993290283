"""Collective operations on CPU, where MindSpore has AllReduce (sum; fp32, fp16) for groups, and no more than that.

Its AllGather and Broadcast serve the whole cluster alone. So the others are sums here: of arrays that are zeros but for
what a process has to say.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mf_core.collectives import Collectives


class CPUCollectives(Collectives):
    """The operations that are missing, made of sums."""

    def make_operators(self) -> None:
        """See the base class."""
        self.reduce_op = ops.AllReduce(group=self.group)

    def all_reduce(self, x: Tensor) -> Tensor:
        """See the base class. Whole numbers travel as two halves, which fp32 holds exactly for up to 256 processes."""
        if self.size == 1:
            return x
        if x.dtype != ms.int32:
            return self.reduce_op(x)
        low = ops.bitwise_and(x, Tensor(0xFFFF, ms.int32))
        high = ops.bitwise_right_shift(x - low, Tensor(16, ms.int32))
        halves = self.reduce_op(ops.cast(ops.stack((high, low)), ms.float32))
        return ops.cast(halves[0], ms.int32) * 0x10000 + ops.cast(halves[1], ms.int32)

    def all_gather(self, x: Tensor) -> Tensor:
        """See the base class."""
        if self.size == 1:
            return x
        zeros = ops.zeros_like(x)
        parts: tuple[Tensor, ...] = ()
        for i in range(self.size):
            parts = parts + ((x if i == self.index else zeros),)
        return self.all_reduce(ops.concat(parts))

    def reduce_scatter(self, x: Tensor) -> Tensor:
        """See the base class."""
        if self.size == 1:
            return x
        rows = x.shape[0] // self.size
        return self.all_reduce(x)[self.index * rows : (self.index + 1) * rows]

    def broadcast(self, x: Tensor, root: int) -> Tensor:
        """See the base class."""
        return self.all_reduce(x if self.index == root else ops.zeros_like(x))

    def send(self, x: Tensor, to: int) -> None:
        """See the base class."""
        self._pair(to).all_reduce(x).asnumpy()

    def recv(self, like: Tensor, source: int) -> Tensor:
        """See the base class."""
        return self._pair(source).all_reduce(ops.zeros_like(like))

    def exchange(self, x: Tensor) -> Tensor:
        """See the base class."""
        return self.all_gather(x.reshape((1, *x.shape)))[1 - self.index]

    def _pair(self, other: int) -> CPUCollectives:
        me, you = self.ranks[self.index], self.ranks[other]
        return self if self.size == 2 else CPUCollectives(sorted((me, you)), me)
