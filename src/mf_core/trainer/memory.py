"""How much memory a step takes, and what to say when there is not enough."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from ..backend import get_backend
from ..errors import OutOfMemoryError, UnsupportedError
from ..modeling import PretrainedModel
from .arguments import TrainingArguments

_WORDS = re.compile(r"bad_alloc|out of memory|(not enough|insufficient) memory|memory not enough|alloc\w* .*fail", re.I)

#: fp32 states that each optimizer keeps for a weight.
_STATES = {"adamw": 2, "adam": 2, "sgd": 0, "adagrad": 1, "adafactor": 0}


def estimate_memory(model: PretrainedModel, args: TrainingArguments, rows: int, length: int) -> dict[str, int]:
    """Return about how many bytes a step takes, by what for.

    Activations of a transformer layer are counted as in Korthikanti et al., 2022, section 4.1: for each position, 34
    bytes a hidden unit and 5 an attention score in 16 bits, and twice that in fp32; times 1.7, which is what
    MindSpore's separate operators were seen to keep on CPU. Beside them logits, their gradient, and rows of labels.

    Args:
        model: The model.
        args: Optimizer, accumulation, recomputation.
        rows: Rows of a batch.
        length: Positions of a row.
    """
    everything = sum(4 * math.prod(p.shape) for p in model.get_parameters())
    trained = sum(4 * math.prod(p.shape) for p in model.trainable_params())
    parts = {
        "weights": everything,
        "gradients": trained * (2 if args.gradient_accumulation_steps > 1 else 1),
        "optimizer": trained * _STATES[args.optim],
    }
    try:
        layers, heads, width = model.cache_shape
    except UnsupportedError:
        return parts
    size = 2 if model.compute_dtype == "float32" else 1
    hidden = heads * width
    layer = int(1.7 * rows * length * (34 * hidden + 5 * heads * length) * size)
    kept = layer + (layers - 1) * rows * length * hidden * 2 * size if args.recompute else layers * layer
    vocab = int(getattr(model.config, "vocab_size", 0))
    return {**parts, "activations": kept + 3 * 4 * rows * length * vocab}


def out_of_memory(
    model: PretrainedModel, args: TrainingArguments, batches: Sequence[tuple[np.ndarray, ...]], error: BaseException
) -> OutOfMemoryError | None:
    """Return the error that says how large the batch was, what that takes, and what to change.

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
