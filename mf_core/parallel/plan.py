"""How a model can be sharded over devices: its parallel plan, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .device_mesh import Layout


@dataclass(frozen=True)
class Split:
    """How an array is split into shards.

    Attributes:
        axis: The axis.
        fused: How many weights lie side by side along it (3 in a joint projection to query, key and value), or their
            relative sizes where they differ (``(4, 1, 1)``: grouped heads); each shard has its part of each.
    """

    axis: int
    fused: int | tuple[int, ...] = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The relative sizes of the fused weights."""
        return (1,) * self.fused if isinstance(self.fused, int) else self.fused

    def shape(self, whole: Sequence[int], count: int) -> tuple[int, ...]:
        """Return the shape of one of ``count`` shards."""
        return tuple(n // count if i == self.axis else n for i, n in enumerate(whole))

    def shard(self, whole: np.ndarray, index: int, count: int) -> np.ndarray:
        """Return shard ``index`` of ``count``: a view, or a copy where the weights are fused."""
        unit = whole.shape[self.axis] // sum(self.sizes)
        starts = np.cumsum((0, *self.sizes)) * unit
        parts = []
        for start, size in zip(starts, self.sizes, strict=False):
            each = size * unit // count
            first = start + index * each
            parts.append(whole[(slice(None),) * self.axis + (slice(first, first + each),)])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, self.axis)

    def join(self, shards: Sequence[np.ndarray]) -> np.ndarray:
        """Return the whole array from its shards, in order."""
        unit = shards[0].shape[self.axis] * len(shards) // sum(self.sizes)
        bounds = np.cumsum(self.sizes)[:-1] * unit // len(shards)
        parts = [np.split(shard, bounds, self.axis) for shard in shards]
        return np.concatenate([part[i] for i in range(len(self.sizes)) for part in parts], self.axis)


@dataclass(frozen=True)
class ParallelPlan:
    """How a model is split over the tensor, pipeline and expert axes.

    Each name is the path of a cell in the model; ``*`` matches anything in it, such as a layer number.

    Attributes:
        columns: Linears whose outputs are split over the tensor axis -> how many weights are fused in each, or their
            relative sizes.
        rows: Linears whose inputs are: each follows column-parallel ones, and its results are summed.
        heads: Cells with a ``num_heads``, of which each device has its share.
        vocabulary: Embeddings that can be split by vocabulary; the model's head is tied to the first.
        layers: The repeated layers, in order; a pipeline can be split between them.
        first: Cells that the first pipeline stage has besides its layers.
        last: Those that the last stage has. A cell in both is tied: its gradients are summed over the two.
        experts: Cells with one expert each, split over the expert axis by index.
        by_head: Parameters with an entry, or as many entries, for each head: split along their first axis.
        partial: Parameters that every device holds whole and uses for its own part of a layer alone, beside those of
            cells in ``heads``, which are found by themselves: their gradients are summed over the tensor axis.
        whole: Cells within those of ``heads`` that every device computes for all heads: their parameters have the whole
            gradient everywhere.
        outputs_first: Whether the weights of ``columns`` and ``rows`` are ``(out, in)``, as
            ``mf_core.nn.Linear(outputs_first=True)`` has them.
    """

    columns: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    outputs_first: bool = False
    by_head: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def split(self, parameter: str, *, vocabulary: bool) -> Split | None:
        """Return how a parameter is split over the tensor axis; None: it is whole everywhere.

        Args:
            parameter: Its name, ``"transformer.h.0.attn.c_attn.weight"``.
            vocabulary: Whether embeddings are split (``vocab_emb_dp=False``).
        """
        cell, _, kind = parameter.rpartition(".")
        for pattern, fused in self.columns.items():
            if fnmatchcase(cell, pattern):
                return Split(1 if kind == "weight" and not self.outputs_first else 0, fused)
        if kind == "weight" and matches(cell, self.rows):
            return Split(1 if self.outputs_first else 0)
        if kind == "weight" and vocabulary and matches(cell, self.vocabulary):
            return Split(0)
        return Split(0) if matches(parameter, self.by_head) else None

    def is_partial(self, parameter: str) -> bool:
        """Return whether a parameter that is not split gets a part of its gradient on each device of the tensor axis.

        So where the device uses it for its own heads: between the projections whose outputs are split and the one whose
        inputs are. The bias of that one is added after the sum, and has the whole gradient everywhere.
        """
        cell = parameter.rpartition(".")[0]
        by_head = within(cell, self.heads) and not matches(cell, (*self.rows, *self.whole))
        return matches(parameter, self.partial) or by_head


@dataclass(frozen=True)
class ShardSpec:
    """How a parameter is sharded in a layout.

    Attributes:
        shape: Its shape when whole.
        split: How it is split over the tensor axis; None: it is not.
        stages: The pipeline stages that have it; two for a tied weight.
        expert: Its index along the expert axis; None: every copy of the model has it.
    """

    shape: tuple[int, ...]
    split: Split | None
    stages: tuple[int, ...]
    expert: int | None = None

    def is_on(self, layout: Layout) -> bool:
        """Return whether the process at ``layout.rank`` has the parameter or a shard of it."""
        return layout.stage in self.stages and self.expert in (None, layout.data_rank % layout.expert)

    def local_shape(self, layout: Layout) -> tuple[int, ...]:
        """Return the shape of one shard."""
        return self.shape if self.split is None else self.split.shape(self.shape, layout.tensor)

    def shard(self, whole: np.ndarray, layout: Layout) -> np.ndarray:
        """Return the shard of the process at ``layout.rank``."""
        return whole if self.split is None else self.split.shard(whole, layout.tensor_rank, layout.tensor)


def shard_specs(
    plan: ParallelPlan, shapes: Mapping[str, tuple[int, ...]], layout: Layout, *, vocabulary: bool = False
) -> dict[str, ShardSpec]:
    """Return how each of a model's parameters is sharded.

    Args:
        plan: The model's.
        shapes: Parameter -> shape, in the model's order.
        layout: The grid; its rank does not matter.
        vocabulary: Whether embeddings are split by vocabulary (``vocab_emb_dp=False``).
    """
    starts = [prefix(name, pattern) for pattern in plan.layers for name in shapes]
    layers = list(dict.fromkeys(filter(None, starts)))
    each = max(1, len(layers) // layout.pipeline)
    stage_of = {layer: min(number // each, layout.pipeline - 1) for number, layer in enumerate(layers)}
    experts = {name: found for name in shapes for pattern in plan.experts if (found := prefix(name, pattern))}
    counts = Counter(expert.rpartition(".")[0] for expert in set(experts.values()))
    result = {}
    for name, shape in shapes.items():
        layer = next((found for pattern in plan.layers if (found := prefix(name, pattern))), None)
        if layout.pipeline == 1:
            stages: tuple[int, ...] = (0,)
        elif layer is not None:
            stages = (stage_of[layer],)
        else:
            ends = (0, plan.first), (layout.pipeline - 1, plan.last)
            stages = tuple(stage for stage, cells in ends if matches(name.rpartition(".")[0], cells))
        expert = None
        if name in experts and layout.expert > 1:
            siblings, _, number = experts[name].rpartition(".")
            expert = int(number) // (counts[siblings] // layout.expert)
        split = plan.split(name, vocabulary=vocabulary) if layout.tensor > 1 else None
        result[name] = ShardSpec(tuple(shape), split, stages, expert)
    return result


def plan_from_roles(
    cells: Mapping[str, Any], layers: Sequence[str] = (), first: Sequence[str] = (), last: Sequence[str] = ()
) -> ParallelPlan:
    """Return the plan that follows from the roles of a model's cells.

    A cell's ``role`` is that of :class:`mf_core.nn.Linear` and :class:`mf_core.nn.Embedding`, ``"heads"`` for one with
    ``num_heads``, or ``"experts"`` for a list of experts. ``by_head`` of a cell names its parameters with an entry for
    each head, ``whole`` its children that every device computes for all heads.

    Args:
        cells: Path -> cell.
        layers: Paths of the repeated layers, in order.
        first, last: Paths of the cells that the first and the last stage of a pipeline need beside their layers.
    """
    roles: dict[str, dict[str, Any]] = {kind: {} for kind in ("column", "row", "heads", "vocabulary", "experts")}
    by_head: dict[str, None] = {}
    whole: dict[str, None] = {}
    outputs_first = False
    for path, cell in cells.items():
        role, pattern = getattr(cell, "role", None), _pattern(path)
        if role is not None:
            roles[role][f"{pattern}.*" if role == "experts" else pattern] = getattr(cell, "fused", 1)
        if role in ("column", "row"):
            outputs_first = cell.outputs_first
        by_head.update({f"{pattern}.{name}": None for name in getattr(cell, "by_head", ())})
        whole.update({f"{pattern}.{name}": None for name in getattr(cell, "whole", ())})
    return ParallelPlan(
        columns=roles["column"], rows=tuple(roles["row"]), heads=tuple(roles["heads"]),
        vocabulary=tuple(roles["vocabulary"]), layers=tuple(dict.fromkeys(map(_pattern, layers))), first=tuple(first),
        last=tuple(last), experts=tuple(roles["experts"]), by_head=tuple(by_head), whole=tuple(whole),
        outputs_first=outputs_first,
    )  # fmt: skip


def _pattern(path: str) -> str:
    """Return a path with ``*`` for the numbers in it."""
    return ".".join("*" if step.isdecimal() else step for step in path.split("."))


def prefix(name: str, pattern: str) -> str | None:
    """Return the beginning of a name that fits a pattern, as many components as that has; None: it does not fit."""
    start = ".".join(name.split(".")[: pattern.count(".") + 1])
    return start if fnmatchcase(start, pattern) else None


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def within(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a cell, or one of its parents, matches one of the patterns."""
    steps = path.split(".")
    return any(matches(".".join(steps[:i]), patterns) for i in range(1, len(steps) + 1))
