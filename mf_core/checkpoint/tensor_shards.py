"""How a tensor is split into shards in a sharded checkpoint, which rank writes each, and how they are joined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..parallel.device_mesh import Layout
from ..parallel.plan import ShardSpec, Split


@dataclass(frozen=True)
class ShardedTensor:
    """How one tensor is distributed in a sharded checkpoint.

    Attributes:
        shape: Its shape when whole.
        dtype: What numpy calls its type.
        split: How it is split over the tensor axis; None: it is not.
        stages: The pipeline stages that have it, in ascending order.
        expert: The index on the expert axis that has it; None: every replica of the model has it.
        flat: Whether it is sharded over the replicas: its part after ``split`` is flattened, padded with zeros to a
            multiple of ``data``, and cut into as many equal shards.
    """

    shape: tuple[int, ...]
    dtype: str
    split: Split | None = None
    stages: tuple[int, ...] = (0,)
    expert: int | None = None
    flat: bool = False

    @classmethod
    def at(cls, spec: ShardSpec, dtype: str, *, flat: bool = False) -> ShardedTensor:
        """Return the entry of a tensor that is distributed as ``spec`` says."""
        return cls(spec.shape, dtype, spec.split, spec.stages, spec.expert, flat)

    @property
    def spec(self) -> ShardSpec:
        """Which processes have it, and how it is split."""
        return ShardSpec(self.shape, self.split, self.stages, self.expert)

    def piece_shape(self, layout: Layout) -> tuple[int, ...]:
        """Return the shape of each shard."""
        local = self.spec.local_shape(layout)
        return (-(-math.prod(local) // layout.data),) if self.flat else local


def writers(entry: ShardedTensor, layout: Layout) -> list[list[int]]:
    """Return the ranks that write a tensor: for each part of the tensor axis, the ranks of its flat shards."""
    copies = range(layout.data) if entry.flat else (entry.expert or 0,)
    parts = range(1 if entry.split is None else layout.tensor)
    return [[layout.rank_of(entry.stages[0], copy, part) for copy in copies] for part in parts]


def writes(entry: ShardedTensor, layout: Layout) -> bool:
    """Return whether the process at ``layout.rank`` writes a shard: it is the first of those that have it."""
    return any(layout.rank in ranks for ranks in writers(entry, layout))


def shard_of(whole: np.ndarray, entry: ShardedTensor, layout: Layout) -> np.ndarray:
    """Return the shard of a tensor that the process at ``layout.rank`` has, as a view where that is possible.

    Raises:
        ArgumentError: It has no shard of it, or ``whole`` is of another shape.
    """
    if whole.shape != entry.shape:
        raise ArgumentError(f"a tensor of {whole.shape} is no whole of {entry.shape}", value=whole.shape)
    if not entry.spec.is_on(layout):
        raise ArgumentError(
            f"the process {layout.rank} has no piece of the tensor", value=layout.rank,
            why=f"it is of the stage {layout.stage} and the copy {layout.data_rank}; the tensor is on the stages "
            f"{entry.stages}, with the experts {entry.expert}",
        )  # fmt: skip
    piece = entry.spec.shard(whole, layout)
    if not entry.flat:
        return piece
    (each,) = entry.piece_shape(layout)
    part = piece.reshape(-1)[layout.data_rank * each :][:each]
    return part if part.size == each else np.pad(part, (0, each - part.size))


def whole_of(pieces: Iterable[list[np.ndarray]], entry: ShardedTensor, layout: Layout) -> np.ndarray:
    """Join the shards of a tensor, in the order of :func:`writers`; each is released as early as possible."""
    local = entry.spec.local_shape(layout)
    parts = [np.concatenate(flat)[: math.prod(local)].reshape(local) if entry.flat else flat[0] for flat in pieces]
    return parts[0] if entry.split is None else entry.split.join(parts)


def state_entries(
    states: Mapping[str, tuple[tuple[int, ...], str]],
    weights: Mapping[str, ShardedTensor],
    layout: Layout,
    *,
    optimizer_shard: bool,
) -> dict[str, ShardedTensor]:
    """Return how an optimizer's states are distributed.

    A state of a weight, whose name ends in the weight's, is in the same processes, and is split like the weight if it
    has its shape. A state that belongs to no weight is whole in every process.

    Args:
        states: Name -> shape when whole, and numpy's name of the type.
        weights: How the weights are distributed.
        layout: The device mesh; its rank does not matter.
        optimizer_shard: Whether states are sharded over the replicas of the model.
    """
    entries = {}
    for name, (shape, dtype) in states.items():
        owner = _owner(name, weights)
        if owner is None:
            entries[name] = ShardedTensor(shape, dtype, stages=tuple(range(layout.pipeline)))
        elif shape != owner.shape:
            entries[name] = ShardedTensor(shape, dtype, None, owner.stages, owner.expert)
        else:
            flat = optimizer_shard and layout.data > 1 and owner.expert is None
            entries[name] = ShardedTensor.at(owner.spec, dtype, flat=flat)
    return entries


def _owner(state: str, weights: Mapping[str, ShardedTensor]) -> ShardedTensor | None:
    _, dot, name = state.partition(".")
    while dot and name not in weights:
        _, dot, name = name.partition(".")
    return weights.get(name) if dot else None
