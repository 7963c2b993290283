"""Search for layouts of a model on a number of devices: their memory, and the likely fastest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..errors import ArgumentError, MFError, UnsupportedError
from ..parallel.config import ParallelConfig
from ..parallel.device_mesh import Layout
from ..parallel.plan import ShardSpec
from ..parallel.validate import check_fit
from .decoder_shape import DecoderShape
from .memory import Estimate, Memory, StepShape
from .meta_model import MetaModel
from .overhead import PROCESS
from .traffic import Traffic, traffic

#: Bytes of the largest device that MindSpore runs on (Ascend 910B): what takes more fits no device.
LARGEST_DEVICE = 64 * 2**30


@dataclass(frozen=True)
class Machine:
    """What the devices are.

    Attributes:
        devices: How many.
        memory: Bytes of each; None: not known.
        flops: Floating-point operations a second that each reaches.
        bandwidth: Bytes a second that each sends.
    """

    devices: int
    memory: int | None = None
    flops: float = 100e12
    bandwidth: float = 25e9


@dataclass(frozen=True)
class Candidate:
    """A layout with its estimated memory and time.

    Attributes:
        parallel: The layout, as ``set_parallel_config`` takes it.
        memory: Of the stage that takes most.
        stage: Which that is.
        traffic: Of the stage that sends most.
        compute_seconds: Of a step, waiting for other stages included.
        bubble: The share of that time in which a stage waits for others.
        seconds: Of a step: computing, then sending.
        tokens: Positions of a step, of all copies.
        fits: Whether the memory is enough; None: it is not known how much there is.
    """

    parallel: ParallelConfig
    memory: Memory
    stage: int
    traffic: Traffic
    compute_seconds: float
    bubble: float
    seconds: float
    tokens: int
    fits: bool | None

    @property
    def tokens_per_second(self) -> float:
        """Positions per second of all devices together."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Refusal:
    """A layout that is not allowed.

    Attributes:
        parallel: The layout.
        why: What forbids it.
    """

    parallel: ParallelConfig
    why: str


def candidates(
    model: MetaModel,
    step: StepShape,
    machine: Machine,
    *,
    global_rows: int | None = None,
    micro_batches: int | None = None,
    optimizer_shards: tuple[bool, ...] = (False,),
) -> tuple[list[Candidate], list[Refusal]]:
    """Return all layouts, those that fit first and fastest first, and the layouts that are not allowed.

    Where the devices' memory is not known, those that take more than :data:`LARGEST_DEVICE` come last.

    The order is that of the estimated positions a second. A stage computes six operations for each weight of its
    linears and position, what attention's products need, and its forward pass again where it is recomputed; with P
    stages and M micro-batches a step takes ``M + P - 1`` times as long as a micro-batch; then everything that is sent
    is sent, with nothing computed meanwhile.

    Args:
        model: What is to be trained.
        step: How; its ``parallel`` gives the settings beside the layout, and its ``rows`` those of each copy.
        machine: The devices.
        global_rows: Rows of all copies together, instead of ``step.rows``.
        micro_batches: Parts that a batch goes through the stages in; None: as many as there are rows, with stages.
        optimizer_shards: Whether the optimizer's states are split over the copies; several: each.

    Raises:
        UnsupportedError: The model does not say how large it is.
    """
    decoder, layers = DecoderShape.of(model), len(model.blocks)
    if not decoder.vocabulary or not layers:
        raise UnsupportedError(
            f"{model.model_class.__name__} cannot be planned", value=model.model_class,
            why="it has no vocabulary, or its parallel_plan names no layers",
        )  # fmt: skip
    found: list[Candidate] = []
    refused: list[Refusal] = []
    for data, tensor, pipeline in _grids(machine.devices):
        for shard in optimizer_shards if data > 1 else (False,):
            rows = step.rows if global_rows is None else global_rows // data
            parts = micro_batches or (rows if pipeline > 1 else 1)
            parallel = ParallelConfig(**{
                **step.parallel.model_dump(), "data_parallel": data, "model_parallel": tensor,
                "pipeline_stage": pipeline, "micro_batch_num": max(1, parts), "optimizer_shard": shard,
            })  # fmt: skip
            try:
                _check(parallel, rows, global_rows, step.length)
                specs = check_fit(
                    model.model_class.__name__, model.parallel_plan, model.shapes, parallel.layout(0), model.config,
                    vocabulary=tensor > 1 and not parallel.vocab_emb_dp,
                )  # fmt: skip
            except MFError as error:
                refused.append(Refusal(parallel, error.what))
                continue
            found.append(_candidate(decoder, specs, replace(step, rows=rows, parallel=parallel), layers, machine))
    limit = LARGEST_DEVICE if machine.memory is None else machine.memory
    found.sort(key=lambda item: (item.memory.total > limit, -item.tokens_per_second, item.memory.total))
    return found, refused


def _grids(devices: int) -> Iterator[tuple[int, int, int]]:
    """Yield all ways to write the number of devices as a product of three."""
    divisors = [n for n in range(1, devices + 1) if devices % n == 0]
    for tensor in divisors:
        for pipeline in divisors:
            if devices % (tensor * pipeline) == 0:
                yield devices // (tensor * pipeline), tensor, pipeline


def _check(parallel: ParallelConfig, rows: int, global_rows: int | None, length: int) -> None:
    """Raise ArgumentError where rows or positions cannot be shared out evenly."""
    data, parts, tensor = parallel.data_parallel, parallel.micro_batch_num, parallel.model_parallel
    if global_rows is not None and global_rows % data:
        raise ArgumentError(f"{global_rows} rows cannot be split over data_parallel={data} copies", value=data)
    if parts < parallel.pipeline_stage:
        raise ArgumentError(
            f"micro_batch_num={parts} is less than pipeline_stage={parallel.pipeline_stage}", value=parts
        )
    if rows % parts:
        raise ArgumentError(f"{rows} rows cannot be split into micro_batch_num={parts} parts", value=parts)
    if parallel.use_seq_parallel and length % tensor:
        raise ArgumentError(f"rows of {length} positions cannot be split by model_parallel={tensor}", value=tensor)


def _candidate(
    decoder: DecoderShape, specs: Mapping[str, ShardSpec], step: StepShape, layers: int, machine: Machine
) -> Candidate:
    parallel, grid = step.parallel, step.parallel.layout(0)
    stages = [grid.at(grid.rank_of(stage, 0, 0)) for stage in range(grid.pipeline)]
    memories = [Estimate(decoder, specs, step, layout, layers).memory() for layout in stages]
    if step.on_host:
        memories = [replace(memory, other=memory.other + PROCESS) for memory in memories]
    worst = max(range(grid.pipeline), key=lambda stage: memories[stage].total)
    sent = max((traffic(decoder, specs, step, layout, layers) for layout in stages), key=lambda t: t.total)
    work = max(stage_flops(decoder, step, layout, layers) for layout in stages)
    waits = (grid.pipeline - 1) / parallel.micro_batch_num
    compute = work * (1 + waits) / machine.flops
    seconds = compute + sent.total / machine.bandwidth
    fits = None if machine.memory is None else memories[worst].total <= machine.memory
    tokens = step.rows * grid.data * step.length * step.accumulation
    return Candidate(
        parallel, memories[worst], worst, sent, compute, waits / (1 + waits), seconds, tokens, fits
    )  # fmt: skip


def stage_flops(decoder: DecoderShape, step: StepShape, layout: Layout, layers: int) -> float:
    """Return the floating-point operations of a device in a step.

    Two for each weight of a linear and position forward, four backward, and for attention's two products as many for
    each unit of the width and position that is looked at.

    Args:
        decoder: The model's sizes.
        step: What is computed.
        layout: The grid, seen from the device.
        layers: Layers of the whole model.
    """
    positions = step.rows * step.accumulation * step.length
    feed_forward = 2 * decoder.inner * decoder.hidden * decoder.experts
    looks = 2 * decoder.hidden * step.length
    attention = 4 * decoder.hidden**2 + looks
    recompute = step.recompute
    again = (0 if layout.is_last else 1) * (attention + feed_forward)
    if recompute.recompute:
        again += attention + feed_forward
    elif recompute.select_recompute:
        again += attention
    total = layers / layout.pipeline * (6 * (attention + feed_forward) + 2 * again) / layout.tensor
    if layout.is_last:
        share = 1 if step.parallel.vocab_emb_dp else layout.tensor
        total += 6 * decoder.vocabulary * decoder.hidden / share
    return positions * total
