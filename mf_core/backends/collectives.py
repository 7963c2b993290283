"""Collective operations within a group of processes, inside compiled graphs and outside."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, communication, nn, ops

from ..errors import ArgumentError

#: Groups that exist in this process, by name: a group is made once.
_made: dict[str, tuple[int, ...]] = {}


class Collectives(nn.Cell):
    """The collective operations of one group of processes, by MindSpore's own operators.

    Every process of the group has to call the same operations, in the same order, on arrays of the same shape and type.
    Within a compiled graph the order of operations that do not depend on each other is MindSpore's; it is the same in
    processes whose graphs are the same. Where graphs differ, as in the stages of a pipeline, make each operation depend
    on the one before it (``ops.depend``), or processes wait for each other for good.

    In a group of one process, arrays come back as they are. A backend that lacks an operator overrides the method
    ``run_…``, which is called with what has been checked, in groups of two or more.

    Args:
        ranks: The group's ranks in the cluster, rising.
        rank: This process's rank in the cluster.

    Attributes:
        size: Number of processes in the group.
        index: This process's index in it.
    """

    def __init__(self, ranks: Sequence[int], rank: int) -> None:
        super().__init__(auto_prefix=False)
        self.ranks = tuple(ranks)
        self.size, self.index = len(self.ranks), self.ranks.index(rank)
        self.group = self._make_group()
        if self.size > 1:
            self.make_operators()

    def make_operators(self) -> None:
        """Make the operators that the methods use; a backend that lacks some of them overrides this too."""
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
        """Return the sum over the processes, bit-identical in each. fp32, fp16 and int32, which wraps around."""
        return x if self.size == 1 else self.run_all_reduce(x)

    def all_gather(self, x: Tensor) -> Tensor:
        """Return the processes' arrays, ``(A, …)``, one after the other along the first axis, ``(size * A, …)``.

        Raises:
            ArgumentError: The array has no axis.
        """
        _check_rows("all_gather", x.shape, 1)
        return x if self.size == 1 else self.run_all_gather(x)

    def reduce_scatter(self, x: Tensor) -> Tensor:
        """Return this process's part, ``(A / size, …)``, of the sum over the processes of arrays ``(A, …)``.

        Raises:
            ArgumentError: The array has no axis, or ``size`` does not divide the first.
        """
        _check_rows("reduce_scatter", x.shape, self.size)
        return x if self.size == 1 else self.run_reduce_scatter(x)

    def broadcast(self, x: Tensor, root: int) -> Tensor:
        """Return the array of the process at index ``root`` of the group; the arrays of the others give shape and type.

        Raises:
            ArgumentError: The group has no such index.
        """
        _check_member("broadcast from", root, self.ranks)
        return x if self.size == 1 else self.run_broadcast(x, root)

    def send(self, x: Tensor, to: int) -> None:
        """Send an array to the process at index ``to``, which has to call :meth:`recv`. Not within graphs.

        Raises:
            ArgumentError: The group has no such index, or it is this process's own.
        """
        _check_other("send to", to, self.ranks, self.index)
        self.run_send(x, to)

    def recv(self, like: Tensor, source: int) -> Tensor:
        """Return the array that the process at index ``source`` sends; ``like`` gives its shape and type. Not within
        graphs.

        Raises:
            ArgumentError: The group has no such index, or it is this process's own.
        """
        _check_other("receive from", source, self.ranks, self.index)
        return self.run_recv(like, source)

    def exchange(self, x: Tensor) -> Tensor:
        """Return the other process's array of the same shape, in a group of two. Not within graphs.

        Raises:
            ArgumentError: The group has another number of processes.
        """
        if self.size != 2:
            raise ArgumentError(
                f"exchange is between two processes; the group {self.ranks} has {self.size}", value=self.size,
                hint="take the collectives of a pair of ranks",
            )  # fmt: skip
        return self.run_exchange(x)

    def barrier(self) -> None:
        """Return when every process of the group has called it."""
        self.all_reduce(ops.zeros((1,), ms.float32)).asnumpy()

    def run_all_reduce(self, x: Tensor) -> Tensor:
        """See :meth:`all_reduce`."""
        return self.reduce_op(x)

    def run_all_gather(self, x: Tensor) -> Tensor:
        """See :meth:`all_gather`."""
        return self.gather_op(x)

    def run_reduce_scatter(self, x: Tensor) -> Tensor:
        """See :meth:`reduce_scatter`."""
        return self.scatter_op(x)

    def run_broadcast(self, x: Tensor, root: int) -> Tensor:
        """See :meth:`broadcast`."""
        return self.broadcast_ops[root]((x,))[0]

    def run_send(self, x: Tensor, to: int) -> None:
        """See :meth:`send`."""
        # Not send, which in MindSpore 2.10 drops its event unawaited on Ascend; what runs next then fails on it.
        ops.communication.isend(x, self.ranks[to], group=self.group).wait()

    def run_recv(self, like: Tensor, source: int) -> Tensor:
        """See :meth:`recv`."""
        received = ops.zeros(like.shape, like.dtype)
        ops.communication.recv(received, self.ranks[source], group=self.group)
        return received

    def run_exchange(self, x: Tensor) -> Tensor:
        """See :meth:`exchange`."""
        received = ops.zeros(x.shape, x.dtype)
        other = self.ranks[1 - self.index]
        kinds = ("isend", x), ("irecv", received)
        work = ops.communication.batch_isend_irecv(
            [ops.communication.P2POp(kind, tensor, other, self.group) for kind, tensor in kinds]
        )
        for item in work:
            if item is not None:
                item.wait()
        return received


# Within graphs, these run when a graph is compiled.


@ops.constexpr
def _check_rows(what: str, shape: tuple[int, ...], parts: int) -> None:
    if not shape:
        raise ArgumentError(f"{what} of an array without axes", value=shape, hint="x.reshape((1,))")
    if shape[0] % parts:
        raise ArgumentError(
            f"{what}: the first axis of {shape} cannot be split over {parts} processes", value=shape,
            hint=f"make it a multiple of {parts}",
        )  # fmt: skip


@ops.constexpr
def _check_member(what: str, index: int, ranks: tuple[int, ...]) -> None:
    if not 0 <= index < len(ranks):
        raise ArgumentError(
            f"{what} index {index}: the group {ranks} has {len(ranks)}", value=index,
            why="this is the index within the group, not the rank", hint=f"0 to {len(ranks) - 1}",
        )  # fmt: skip


def _check_other(what: str, index: int, ranks: tuple[int, ...], own: int) -> None:
    _check_member(what, index, ranks)
    if index == own:
        raise ArgumentError(f"{what} index {index} of the group {ranks}: that is this process itself", value=index)
