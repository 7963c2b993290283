"""The processes that train together: what they decide in common, and whose word counts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from mindspore import Tensor

from ..parallel.shard_model import Spread


class Session:
    """One process's view of the processes that train together.

    Args:
        spread: How the model is spread over them.

    Attributes:
        layout: The grid, and this process's place in it.
        is_first: Whether this process is the one that writes and reports.
        token: A number that is the same in all of them, and another in other runs.
    """

    def __init__(self, spread: Spread) -> None:
        self.spread, self.layout = spread, spread.layout
        self._world = spread.group("world")
        self.is_first = self.layout.rank == 0
        self.token = int(self._world.broadcast(Tensor(np.array([os.getpid()], np.int32)), 0).asnumpy()[0])

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        """Return which of the flags is set in any process."""
        votes = self._world.all_reduce(Tensor(np.array(flags, np.float32))).asnumpy()
        return [bool(vote > 0) for vote in votes]

    def barrier(self) -> None:
        """Return when every process is here."""
        self._world.barrier()

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums over the copies of the model of numbers that each last stage has."""
        counts = self.layout.is_last and self.layout.tensor_rank == 0
        doubles = np.array(values, np.float64) * float(counts)
        high = doubles.astype(np.float32)
        parts = np.stack((high, (doubles - high).astype(np.float32)))  # two numbers hold what fp32 alone would round
        every = self._world.all_gather(Tensor(parts[None])).asnumpy().astype(np.float64)
        return [float(total) for total in every.sum((0, 1))]

    def gather_rows(self, array: np.ndarray) -> np.ndarray:
        """Return the copies' arrays, ``(copies, …)``; whole numbers of 32 bits, or fp32."""
        gathered: np.ndarray = self.spread.group("data").all_gather(Tensor(array[None])).asnumpy()
        return gathered
