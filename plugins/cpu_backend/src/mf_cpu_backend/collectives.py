"""Collective operations on CPU, where MindSpore has AllReduce (sum, fp32 and fp16), AllGather and Broadcast alone."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mf_core.collectives import Collectives


class CPUCollectives(Collectives):
    """The operations that are missing, made of those that are there."""

    def make_operators(self) -> None:
        """See the base class; there is no ReduceScatter."""
        self.reduce_op = ops.AllReduce(group=self.group)
        self.gather_op = ops.AllGather(group=self.group)
        self.broadcast_ops = tuple(ops.Broadcast(root, self.group) for root in self.ranks)

    def all_reduce(self, x: Tensor) -> Tensor:
        """See the base class. Whole numbers are gathered, and summed here."""
        if self.size == 1:
            return x
        if x.dtype == ms.float32 or x.dtype == ms.float16:
            return self.reduce_op(x)
        return self.gather_op(x.reshape((1, *x.shape))).sum(0)

    def reduce_scatter(self, x: Tensor) -> Tensor:
        """See the base class: the sum, of which this process takes its part."""
        if self.size == 1:
            return x
        rows = x.shape[0] // self.size
        return self.all_reduce(x)[self.index * rows : (self.index + 1) * rows]

    def send(self, x: Tensor, to: int) -> None:
        """See the base class. In a group of two, a broadcast reaches no one else."""
        self._pair(to).broadcast(x, int(self.ranks[to] < self.ranks[self.index])).asnumpy()

    def recv(self, like: Tensor, source: int) -> Tensor:
        """See the base class."""
        return self._pair(source).broadcast(ops.zeros_like(like), int(self.ranks[source] > self.ranks[self.index]))

    def exchange(self, x: Tensor) -> Tensor:
        """See the base class."""
        both = self.gather_op(x.reshape((1, *x.shape)))
        return both[1 - self.index]

    def _pair(self, other: int) -> CPUCollectives:
        me, you = self.ranks[self.index], self.ranks[other]
        return self if self.size == 2 else CPUCollectives(sorted((me, you)), me)
