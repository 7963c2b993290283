"""Bytes that a device sends in a training step, by purpose.

Collectives are counted as rings do them: a sum over n devices sends ``2 (n - 1) / n`` of the array, a gathering or a
summing of parts ``(n - 1) / n`` of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..parallel.device_mesh import Layout
from ..parallel.plan import ShardSpec
from .decoder_shape import DecoderShape
from .memory import StepShape


@dataclass(frozen=True)
class Traffic:
    """Bytes that a device sends in a step.

    Attributes:
        gradients: Sums over the copies of the model, and over the stages that share a tied weight.
        tensor: Activations and their gradients, among the devices that share layers.
        pipeline: Activations and their gradients, to the neighbouring stages.
        optimizer: Weights that are put together, where each copy updates a part.
    """

    gradients: int
    tensor: int
    pipeline: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """Return the parts by name."""
        return asdict(self)


def traffic(
    decoder: DecoderShape, specs: Mapping[str, ShardSpec], step: StepShape, layout: Layout, layers: int
) -> Traffic:
    """Return what the device at one rank of the grid sends.

    Args:
        decoder: The model's sizes.
        specs: How its parameters are sharded.
        step: What is computed.
        layout: The grid, seen from the device.
        layers: Layers of the whole model.
    """
    here = {name: spec for name, spec in specs.items() if spec.is_on(layout)}
    sizes = {name: 4 * math.prod(spec.local_shape(layout)) for name, spec in here.items()}
    tied = sum(size for name, size in sizes.items() if len(here[name].stages) > 1)
    weights, parallel = sum(sizes.values()), step.parallel
    part = _part(layout.data)
    sharded = parallel.optimizer_shard
    gradients = (1 if sharded else 2) * part * weights + tied  # between two, a sum sends the array once
    hidden = step.compute_size * step.rows * step.accumulation * step.length * decoder.hidden
    stages = (not layout.is_first) + (not layout.is_last)
    own = hidden / (layout.tensor if parallel.use_seq_parallel else 1)
    return Traffic(
        int(gradients),
        int(2 * _part(layout.tensor) * hidden * _sums(decoder, step, layout, layers // layout.pipeline)),
        int(stages * own) if layout.pipeline > 1 else 0,
        int(part * weights) if sharded else 0,
    )


def _part(devices: int) -> float:
    return (devices - 1) / devices


def _sums(decoder: DecoderShape, step: StepShape, layout: Layout, layers: int) -> int:
    """Return how many sums of a layer's width the devices of the tensor axis take of each position.

    A layer has one forward after each of its two parts, and one backward before each linear that reads what they are
    made of. With activations split by position a gathering and a summing of parts take a sum's place, with as many
    bytes.
    """
    forward, backward = 1 + decoder.experts, decoder.attention_inputs + decoder.experts
    again = int(step.recompute.recompute) + (not layout.is_last)
    if step.recompute.select_recompute and not step.recompute.recompute:
        layer = forward * (1 + (not layout.is_last)) + backward + 1
    else:
        layer = forward * (1 + again) + backward
    ends = 0
    if not step.parallel.vocab_emb_dp:
        ends = (1 + (not layout.is_last)) * layout.is_first + layout.is_last
    return layers * layer + ends
