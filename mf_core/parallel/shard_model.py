"""Sharding of a model over processes: each keeps its shards of the weights."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from ..backends.base import get_backend
from ..backends.collectives import Collectives
from ..nn import Dropout, Embedding, Linear
from ..nn.parallel import (
    AllPositions,
    Copy,
    GatherColumns,
    GatherPositions,
    GatherRows,
    LocalPositions,
    ScatterPositions,
    ScatterRows,
    Sum,
    SumBoth,
)
from .config import ParallelConfig
from .device_mesh import Axis, Layout
from .plan import ParallelPlan, ShardSpec, matches, prefix, shard_specs
from .validate import plan_of

if TYPE_CHECKING:
    from ..models.base import PretrainedModel


@dataclass(frozen=True)
class ShardedState:
    """How a model is sharded, from the view of one process.

    Attributes:
        config: The settings.
        layout: The grid of processes, and this process's rank.
        specs: Parameter of the whole model, trained or not -> how it is sharded.
        partial: Parameters of which each process of the tensor axis computes a part of the gradient, since it uses
            them for its own heads alone, or since activations are split by position there.
        trained: Those of the whole model that are trained.
    """

    config: ParallelConfig
    layout: Layout
    specs: dict[str, ShardSpec]
    partial: frozenset[str] = frozenset()
    trained: frozenset[str] = frozenset()
    _groups: dict[str, Collectives] = field(default_factory=dict, repr=False)

    def group(self, axis: Axis) -> Collectives:
        """Return the collectives of the processes along an axis."""
        if axis not in self._groups:
            self._groups[axis] = get_backend().collectives(self.layout.group(axis), self.layout.rank)
        return self._groups[axis]

    @property
    def is_whole(self) -> bool:
        """Whether each process has all weights and all of the optimizer's states."""
        return self.layout.size == self.layout.data and self.layout.expert == 1 and not self.config.optimizer_shard

    @property
    def vocabulary(self) -> Collectives | None:
        """The processes that share the vocabulary; None: each has all of it."""
        split = self.layout.tensor > 1 and not self.config.vocab_emb_dp
        return self.group("tensor") if split else None

    @cached_property
    def own(self) -> dict[str, ShardSpec]:
        """The specs of the parameters that this process has, whole or a shard of."""
        return {name: spec for name, spec in self.specs.items() if spec.is_on(self.layout)}

    def copies(self, name: str) -> int:
        """Return how many processes hold the same shard of a parameter."""
        spec, layout = self.specs[name], self.layout
        copies = layout.data if spec.expert is None else layout.data // layout.expert
        return copies * len(spec.stages) * (1 if spec.split is not None else layout.tensor)

    def take(self, name: str, whole: np.ndarray) -> np.ndarray | None:
        """Return this process's shard of a parameter; None: it has none."""
        spec = self.own.get(name)
        return None if spec is None else spec.shard(whole, self.layout)


def shard_model(model: PretrainedModel, config: ParallelConfig, rank: int) -> ShardedState:
    """Shard a whole model over the cluster: every process calls this, and keeps its shards of the weights.

    Randomly initialised weights are broadcast from the first process.

    Args:
        model: The same in each process. It is changed.
        config: The settings; :meth:`ParallelConfig.check` has let them pass.
        rank: This process's rank.

    Raises:
        UnsupportedError: The model has no parallel plan.
    """
    layout = config.layout(rank)
    plan = plan_of(model, layout)
    parameters = dict(model.parameters_and_names())
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    specs = shard_specs(plan, shapes, layout, vocabulary=not config.vocab_emb_dp)
    cells = dict(model.cells_and_names())
    sequence = config.use_seq_parallel and layout.tensor > 1
    embeddings = {path for path, cell in cells.items() if isinstance(cell, Embedding)}
    partial = frozenset(
        name for name, spec in specs.items() if layout.tensor > 1 and spec.split is None
        and (plan.is_partial(name) or (sequence and name.rpartition(".")[0] not in embeddings))
    )  # fmt: skip
    trained = frozenset(name for name, parameter in parameters.items() if parameter.requires_grad)
    result = ShardedState(config, layout, specs, partial, trained)
    _agree_on_weights(model, parameters, result.group("world"))
    for name, parameter in parameters.items():
        _keep_shard(cells, name, parameter, result)
    if layout.tensor > 1:
        for path, cell in cells.items():
            _split_cell(path, cell, plan, result, sequence)
    if layout.pipeline > 1:
        model.set_stage(layout.layers_of(len(model.blocks)), is_last=layout.is_last)
    _share_experts(cells, plan, result, sequence)
    model.sharding = result
    ms.ms_memory_recycle()  # graphs of the whole model would keep the weights that it had
    return result


def _agree_on_weights(model: PretrainedModel, parameters: dict[str, Parameter], world: Collectives) -> None:
    """Give the first process's weights to all, where any has others."""
    if model.name_or_path is not None:  # a checkpoint's are the same everywhere, but for what it lacks
        drawn = tuple(f"{cell}." for cell in model.initialized_cells)
        parameters = {name: p for name, p in parameters.items() if name.startswith(drawn) or ".lora_" in name}
    if not parameters or world.size == 1:
        return
    sums = np.array([zlib.crc32(parameter.asnumpy()) & 0xFFFFFF for parameter in parameters.values()], np.int32)
    every = world.all_gather(Tensor(sums.reshape(1, -1))).asnumpy()
    for parameter, differs in zip(parameters.values(), (every != every[0]).any(0), strict=True):
        if differs:
            parameter.set_data(world.broadcast(Tensor(parameter.asnumpy()), 0))


def _keep_shard(cells: dict[str, nn.Cell], name: str, parameter: Parameter, sharding: ShardedState) -> None:
    path, _, kind = name.rpartition(".")
    if name not in sharding.own:
        delattr(cells[path], kind)
    elif sharding.specs[name].split is not None:
        piece = np.ascontiguousarray(sharding.take(name, parameter.asnumpy()))
        tensor = Tensor(piece, dtype=parameter.dtype)
        setattr(cells[path], kind, Parameter(tensor, name=parameter.name, requires_grad=parameter.requires_grad))


def _split_cell(path: str, cell: Any, plan: ParallelPlan, sharding: ShardedState, sequence: bool) -> None:
    """Configure a cell for its shard of a layer."""
    group = sharding.group("tensor")
    index, size = group.index, group.size
    if isinstance(cell, Linear) and any(matches(path, (pattern,)) for pattern in plan.columns):
        cell.out_features //= size
        cell.enter = GatherPositions(group) if sequence else Copy(group)
    elif isinstance(cell, Linear) and matches(path, plan.rows):
        cell.in_features //= size
        cell.leave = ScatterPositions(group) if sequence else Sum(group)
    elif isinstance(cell, Embedding):
        split = matches(path, plan.vocabulary) and not sharding.config.vocab_emb_dp
        if split:
            cell.start = index * (sharding.specs[f"{path}.weight"].shape[0] // size)
            cell.gather = GatherColumns(group)
            cell.leave = ScatterPositions(group) if sequence else Sum(group)
            cell.enter = GatherPositions(group) if sequence else Copy(group)
        elif sequence:
            cell.leave, cell.enter = LocalPositions(group), AllPositions(group)
    if matches(path, plan.heads):
        cell.num_heads //= size
        if hasattr(cell, "shard_heads"):
            cell.shard_heads(group, positions=sequence)
    if isinstance(cell, Dropout):
        # Attention's, of the weights (B, H, S, T), has a part of the heads; the others may have one of the positions.
        within = matches(path, [f"{pattern}.*" for pattern in plan.heads])
        cell.set_part(index, size, heads=within, positions=sequence)


def _share_experts(cells: dict[str, nn.Cell], plan: ParallelPlan, sharding: ShardedState, sequence: bool) -> None:
    """Configure mixtures of experts: the local experts, and the processes that share a batch."""
    layout = sharding.layout
    lists = {path.rpartition(".")[0] for path in cells for pattern in plan.experts if prefix(path, pattern) == path}
    for path in lists:
        mixture: Any = cells[path.rpartition(".")[0]]
        count = len(mixture.experts) // layout.expert
        first = layout.data_rank % layout.expert * count
        group = sharding.group("expert")
        totals: list[nn.Cell] = [Sum(sharding.group("tensor"))] if sequence else []
        if layout.data > 1:
            totals.append(SumBoth(sharding.group("data")))
        shared = layout.expert > 1
        mixture.share(
            range(first, first + count),
            gather=GatherRows(group) if shared else None,
            scatter=ScatterRows(group) if shared else None,
            positions=LocalPositions(sharding.group("tensor")) if sequence else None,
            totals=tuple(totals),
        )
