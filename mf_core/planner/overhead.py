"""Overhead of a training step: compiled graphs and the process on CPU, buffers elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..optim.table import optimizer_spec
from ..parallel.device_mesh import Axis, Layout
from .decoder_shape import DecoderShape

if TYPE_CHECKING:
    from .memory import StepShape

#: Bytes of a process on CPU that has imported MindSpore and run a small graph.
PROCESS = 460_000_000
#: Bytes that HCCL takes for each group of processes: to send and to receive, with HCCL_BUFFSIZE at its 200 MB.
GROUP_BUFFERS = 2 * 200 * 1024**2


@dataclass(frozen=True)
class GraphSize:
    """Bytes that compiling takes on CPU and does not release, measured with very small layers.

    Attributes:
        base: Of any step.
        branch: How much of that is where a step that is not finite is left out by a branch, and not by a kernel.
        layer: Of a layer's forward and backward pass.
        unfused, dropout, recompute, select_recompute, cast: By how much a layer's grows, as a share of it, where its
            linears are not fused, with dropout, recomputation of all or of attention, and where the model computes in
            another type than the weights'.
        fused: By what share it shrinks where attention is one kernel.
        dropped_recomputed, dropped_recomputed_select: The increase where dropout is recomputed.
        base_together, together: In a cluster, whose step is several graphs: the base, and by how much a layer's grows.
        base_positions, positions: The same, on top, with activations split by position.
    """

    base: int = 95_000_000
    branch: int = 15_000_000
    base_together: int = 50_000_000
    base_positions: int = 50_000_000
    layer: int = 29_100_000
    unfused: float = 0.25
    dropout: float = 0.7
    recompute: float = 0.35
    select_recompute: float = 0.3
    cast: float = 0.4
    fused: float = 0.15
    dropped_recomputed: float = 3.2
    dropped_recomputed_select: float = 2.05
    together: float = 0.3
    positions: float = 0.5

    def of(self, decoder: DecoderShape, step: StepShape, layout: Layout, layers: int) -> int:
        """Return the bytes of a step's graphs.

        Args:
            decoder: The model's sizes.
            step: What is computed.
            layout: The grid, seen from the device.
            layers: Layers that the device has.
        """
        recompute, drops = step.recompute, decoder.hidden_dropout or decoder.attention_dropout
        share = 1.0 + self.unfused * (decoder.attention_inputs > 1) + self.cast * (step.compute_size < 4)
        share += self.dropout * drops
        if recompute.recompute:
            share += self.recompute + self.dropped_recomputed * drops
        elif recompute.select_recompute:
            share += self.select_recompute + self.dropped_recomputed_select * drops
        share *= 1.0 - self.fused * step.fuses_attention(decoder)
        if layout.size > 1:
            split = step.parallel.use_seq_parallel and layout.tensor > 1
            share += self.together + self.positions * split
            return self.base_together + self.base_positions * split + int(self.layer * share * layers)
        graphs = 1 + step.accumulates  # one that adds to the sums, and one that takes the step
        by_kernel = optimizer_spec(step.optim).kernel in step.kernels
        return self.base - self.branch * by_kernel + int(self.layer * share * graphs * layers)


def buffers(layout: Layout) -> int:
    """Return the bytes of the buffers of the groups that a device is in; groups of the same devices are one.

    Args:
        layout: The grid, seen from the device.
    """
    axes: tuple[Axis, ...] = ("world", "data", "tensor", "ends")
    groups = {layout.group(axis) for axis in axes}
    for stage in {layout.stage - 1, layout.stage + 1} & set(range(layout.pipeline)):
        neighbour = layout.rank_of(stage, layout.data_rank, layout.tensor_rank)
        groups.add(tuple(sorted((layout.rank, neighbour))))
    return GROUP_BUFFERS * sum(len(group) > 1 and layout.rank in group for group in groups)
