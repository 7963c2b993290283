"""Memory of a step, and the error when it does not suffice."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..backends.base import get_backend
from ..errors import OutOfMemoryError, UnsupportedError
from ..models.base import PretrainedModel
from ..nn.kernels import in_use
from ..parallel import Layout, ParallelConfig, ParallelPlan, RecomputeConfig, shard_specs
from ..planner.decoder_shape import DecoderShape
from ..planner.memory import Estimate, StepShape
from .arguments import TrainingArguments

_WORDS = re.compile(r"bad_alloc|out of memory|(not enough|insufficient) memory|memory not enough|alloc\w* .*fail", re.I)


def estimate_memory(model: PretrainedModel, args: TrainingArguments, rows: int, length: int) -> dict[str, int]:
    """Return about how many bytes a step takes in this process, by what for; see :mod:`mf_core.planner.memory`.

    Args:
        model: The model, whole or sharded.
        args: Optimizer, accumulation, recomputation.
        rows: Rows of a batch.
        length: Positions of a row.
    """
    sharding = model.sharding
    layout = Layout() if sharding is None else sharding.layout
    step = StepShape(
        rows, length, 4 if model.activation_dtype == "float32" else 2, args.optim, args.gradient_accumulation_steps,
        parallel=ParallelConfig() if sharding is None else sharding.config,
        recompute=RecomputeConfig(recompute=args.recompute), on_host=get_backend().name == "cpu",
        kernels=in_use(),
    )  # fmt: skip
    trained = {name for name, parameter in model.parameters_and_names() if parameter.requires_grad}
    if sharding is not None:
        specs = sharding.specs
    else:
        shapes = {name: tuple(p.shape) for name, p in model.parameters_and_names()}
        specs = shard_specs(model.parallel_plan or ParallelPlan(), shapes, layout)
    try:
        decoder: DecoderShape | None = DecoderShape.of(model)
    except UnsupportedError:
        decoder = None
    sizes = decoder or DecoderShape(0, 0, 0, 0)
    parts = Estimate(sizes, specs, step, layout, max(1, len(model.blocks)), trained).memory().as_dict()
    return parts if decoder else {name: size for name, size in parts.items() if name != "activations"}


def out_of_memory(
    model: PretrainedModel, args: TrainingArguments, batches: Sequence[tuple[np.ndarray, ...]], error: BaseException
) -> OutOfMemoryError | None:
    """Return the error with the batch's size, its estimated memory, and remedies.

    None where ``error`` is about something else. MindSpore does not always say that memory was what lacked: an operator
    that gets none may name any reason, so one that fails when a step takes more than is left counts too.
    """
    rows, length = batches[0][0].shape[0], batches[0][0].shape[-1] - 1
    parts = estimate_memory(model, args, rows, length)
    total, left = sum(parts.values()), get_backend().memory_left()
    if not isinstance(error, MemoryError) and not _WORDS.search(str(error)) and (left is None or total < left):
        return None
    has = get_backend().memory_total()
    each = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in parts.items())
    accumulation = args.gradient_accumulation_steps
    return OutOfMemoryError(
        f"there is not enough memory for a step of {rows} rows of {length} tokens: it takes about {total:,} bytes",
        value=total,
        why=f"{each}; the device has {has / 1e9:.2f} GB" if has else each,
        hint=f"lower per_device_train_batch_size ({rows}; half of it and gradient_accumulation_steps="
        f"{2 * accumulation} is the same step), lower max_seq_length ({length}), or set recompute=True",
    )  # fmt: skip
