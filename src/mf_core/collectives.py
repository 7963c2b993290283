"""What processes say to each other: collective operations within a group, inside compiled graphs and outside."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, communication, nn, ops

#: Groups that exist in this process, by name: a group is made once.
_made: dict[str, tuple[int, ...]] = {}


class Collectives(nn.Cell):
    """The collective operations of one group of processes, by MindSpore's own operators.

    Every process of the group has to call the same operations, in the same order, on arrays of the same shape. A
    backend that lacks an operator overrides the method. Groups of one process do nothing.

    Args:
        ranks: The group's ranks in the cluster, rising.
        rank: This process's rank in the cluster.

    Attributes:
        size: Number of processes in the group.
        index: This process's place in it.
    """

    def __init__(self, ranks: Sequence[int], rank: int) -> None:
        super().__init__(auto_prefix=False)
        self.ranks = tuple(ranks)
        self.size, self.index = len(self.ranks), self.ranks.index(rank)
        self.group = self._make_group()
        if self.size > 1:
            self.make_operators()

    def make_operators(self) -> None:
        """Make the operators that the methods use; a backend that has not got all of them overrides this too."""
        self.reduce_op = ops.AllReduce(group=self.group)
        self.gather_op = ops.AllGather(group=self.group)
        self.scatter_op = ops.ReduceScatter(group=self.group)
        self.broadcast_ops = tuple(ops.Broadcast(root, self.group) for root in self.ranks)

    def _make_group(self) -> str:
        name = "mf-" + "-".join(map(str, self.ranks))
        if self.size > 1 and name not in _made:
            communication.create_group(name, list(self.ranks))
            _made[name] = self.ranks
        return name

    def all_reduce(self, x: Tensor) -> Tensor:
        """Return the sum over the processes; the same to the bit in each. fp32, fp16 and int32."""
        return x if self.size == 1 else self.reduce_op(x)

    def all_gather(self, x: Tensor) -> Tensor:
        """Return the processes' arrays one after the other along the first axis."""
        return x if self.size == 1 else self.gather_op(x)

    def reduce_scatter(self, x: Tensor) -> Tensor:
        """Return this process's part, along the first axis, of the sum over the processes."""
        return x if self.size == 1 else self.scatter_op(x)

    def broadcast(self, x: Tensor, root: int) -> Tensor:
        """Return the array of the process at place ``root`` of the group; the others' tell its shape and type."""
        return x if self.size == 1 else self.broadcast_ops[root]((x,))[0]

    def send(self, x: Tensor, to: int) -> None:
        """Give an array to the process at place ``to``, which has to call :meth:`recv`. Not within graphs."""
        ops.communication.send(x, self.ranks[to], group=self.group)

    def recv(self, like: Tensor, source: int) -> Tensor:
        """Return the array that the process at place ``source`` sends; ``like`` tells its shape and type."""
        received = ops.zeros_like(like)
        ops.communication.recv(received, self.ranks[source], group=self.group)
        return received

    def exchange(self, x: Tensor) -> Tensor:
        """Return the other process's array of the same shape, in a group of two. Not within graphs."""
        received = ops.zeros_like(x)
        other = self.ranks[1 - self.index]
        kinds = ("isend", x), ("irecv", received)
        work = ops.communication.batch_isend_irecv(
            [ops.communication.P2POp(kind, tensor, other, self.group) for kind, tensor in kinds]
        )
        for item in work:
            if item is not None:
                item.wait()
        return received

    def barrier(self) -> None:
        """Return when every process of the group is here."""
        if self.size > 1:
            self.all_reduce(ops.zeros((1,), ms.float32)).asnumpy()
