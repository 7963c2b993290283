"""How a tensor lies in a sharded checkpoint: in which pieces, who writes them, and how they become the whole again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..parallel.device_mesh import Layout
from ..parallel.plan import Place, Split


@dataclass(frozen=True)
class ShardedTensor:
    """How one tensor lies in a sharded checkpoint.

    Attributes:
        shape: Its shape when whole.
        dtype: What numpy calls its type.
        split: How it is cut over the tensor axis; None: it is not.
        stages: The stages of the pipeline that have it, rising.
        expert: Which place of the expert axis has it; None: every copy of the model has it.
        flat: Whether the copies share it: what ``split`` leaves is flattened, filled up with zeros at its end to a
            multiple of ``data``, and cut into as many equal parts.
    """

    shape: tuple[int, ...]
    dtype: str
    split: Split | None = None
    stages: tuple[int, ...] = (0,)
    expert: int | None = None
    flat: bool = False

    @classmethod
    def at(cls, place: Place, dtype: str, *, flat: bool = False) -> ShardedTensor:
        """Return the entry of a tensor at a place."""
        return cls(place.shape, dtype, place.split, place.stages, place.expert, flat)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.shape, self.split, self.stages, self.expert)

    def piece_shape(self, layout: Layout) -> tuple[int, ...]:
        """Return the shape of each piece."""
        local = self.place.local_shape(layout)
        return (-(-math.prod(local) // layout.data),) if self.flat else local


def writers(entry: ShardedTensor, layout: Layout) -> list[list[int]]:
    """Return the ranks whose files hold a tensor: a list for each part of the tensor axis, of its flat parts' ranks."""
    copies = range(layout.data) if entry.flat else (entry.expert or 0,)
    parts = range(1 if entry.split is None else layout.tensor)
    return [[layout.rank_of(entry.stages[0], copy, part) for copy in copies] for part in parts]


def writes(entry: ShardedTensor, layout: Layout) -> bool:
    """Tell whether the process at ``layout.rank`` writes its piece: it has one, and is the first of those with it."""
    return any(layout.rank in ranks for ranks in writers(entry, layout))


def piece_of(whole: np.ndarray, entry: ShardedTensor, layout: Layout) -> np.ndarray:
    """Return what the process at ``layout.rank`` holds of a tensor, a view where that is possible.

    Raises:
        ArgumentError: It holds nothing of it, or ``whole`` is of another shape.
    """
    if whole.shape != entry.shape:
        raise ArgumentError(f"a tensor of {whole.shape} is no whole of {entry.shape}", value=whole.shape)
    if not entry.place.is_on(layout):
        raise ArgumentError(
            f"the process {layout.rank} has no piece of the tensor", value=layout.rank,
            why=f"it is of the stage {layout.stage} and the copy {layout.data_rank}; the tensor is on the stages "
            f"{entry.stages}, with the experts {entry.expert}",
        )  # fmt: skip
    piece = entry.place.piece(whole, layout)
    if not entry.flat:
        return piece
    (each,) = entry.piece_shape(layout)
    part = piece.reshape(-1)[layout.data_rank * each :][:each]
    return part if part.size == each else np.pad(part, (0, each - part.size))


def whole_of(pieces: Iterable[list[np.ndarray]], entry: ShardedTensor, layout: Layout) -> np.ndarray:
    """Return the whole of its pieces, which are those of :func:`writers`; they are let go of as early as can be."""
    local = entry.place.local_shape(layout)
    parts = [np.concatenate(flat)[: math.prod(local)].reshape(local) if entry.flat else flat[0] for flat in pieces]
    return parts[0] if entry.split is None else entry.split.join(parts)


def state_entries(
    states: Mapping[str, tuple[tuple[int, ...], str]],
    weights: Mapping[str, ShardedTensor],
    layout: Layout,
    *,
    optimizer_shard: bool,
) -> dict[str, ShardedTensor]:
    """Return how an optimizer's states lie.

    A state of a weight, which has the weight's name at the end of its own, is where the weight is, and cut like it
    where it has its shape. What is no weight's is whole in every process.

    Args:
        states: Name -> shape when whole, and numpy's name of the type.
        weights: How the weights lie.
        layout: The grid; its rank does not matter.
        optimizer_shard: Whether the copies share the states of the weights that each of them has.
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
            entries[name] = ShardedTensor.at(owner.place, dtype, flat=flat)
    return entries


def _owner(state: str, weights: Mapping[str, ShardedTensor]) -> ShardedTensor | None:
    _, dot, name = state.partition(".")
    while dot and name not in weights:
        _, dot, name = name.partition(".")
    return weights.get(name) if dot else None
