"""The grid of devices that a model is sharded over, and a process's rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["data", "tensor", "pipeline", "model", "ends", "expert", "expert_copies", "world"]


@dataclass(frozen=True)
class Layout:
    """A grid of ``pipeline`` stages of ``data`` copies of ``tensor`` parts, and one process's rank.

    Ranks count the parts first, then the copies, then the stages, as MindSpore's own pipelines do: processes that
    exchange most are neighbours.

    Attributes:
        data: Copies of the model, each with its share of the rows.
        tensor: Processes that share each layer's weights.
        pipeline: Stages, each with its share of the layers.
        expert: Copies, next to each other, that share the experts of a mixture; a divisor of ``data``.
        rank: This process's number in the grid.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    rank: int = 0

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.data * self.tensor * self.pipeline

    @property
    def tensor_rank(self) -> int:
        """Which part of the layers' weights this process has."""
        return self.rank % self.tensor

    @property
    def data_rank(self) -> int:
        """Which copy of the model this process is of."""
        return self.rank // self.tensor % self.data

    @property
    def stage(self) -> int:
        """Which stage this process is of."""
        return self.rank // (self.tensor * self.data)

    @property
    def is_first(self) -> bool:
        """Whether this process has the embeddings."""
        return self.stage == 0

    @property
    def is_last(self) -> bool:
        """Whether this process has the head."""
        return self.stage == self.pipeline - 1

    def at(self, rank: int) -> Layout:
        """Return the same grid for another rank."""
        return Layout(self.data, self.tensor, self.pipeline, self.expert, rank)

    def rank_of(self, stage: int, data_rank: int, tensor_rank: int) -> int:
        """Return the rank at a coordinate of the grid."""
        return (stage * self.data + data_rank) * self.tensor + tensor_rank

    def group(self, axis: Axis) -> tuple[int, ...]:
        """Return the ranks, rising, of the group along ``axis`` that this process is in.

        ``"model"`` is all that hold parts of one copy, ``"ends"`` the first and the last stage, ``"expert"`` the copies
        that share experts, and ``"expert_copies"`` those that have the same ones.
        """
        d, t = self.data_rank, self.tensor_rank
        if axis == "world":
            return tuple(range(self.size))
        if axis == "data":
            return tuple(self.rank_of(self.stage, i, t) for i in range(self.data))
        if axis == "tensor":
            return tuple(self.rank_of(self.stage, d, i) for i in range(self.tensor))
        if axis == "pipeline":
            return tuple(self.rank_of(i, d, t) for i in range(self.pipeline))
        if axis == "model":
            return tuple(self.rank_of(i, d, j) for i in range(self.pipeline) for j in range(self.tensor))
        if axis == "ends":
            return tuple(self.rank_of(i, d, t) for i in sorted({0, self.pipeline - 1}))
        first = d - d % self.expert
        shared, same = range(first, first + self.expert), range(d % self.expert, self.data, self.expert)
        return tuple(self.rank_of(self.stage, i, t) for i in (shared if axis == "expert" else same))

    def layers_of(self, count: int) -> range:
        """Return which of ``count`` layers this process's stage has; the stages have equal numbers."""
        each = count // self.pipeline
        return range(self.stage * each, (self.stage + 1) * each)
