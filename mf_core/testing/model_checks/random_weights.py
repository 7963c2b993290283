"""Weights for checks, large enough that each matters, and how the weights and outputs of two models compare."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

#: Type that a model computes in -> how far two ways to the same logits may be apart, as a part of the largest.
TOLERANCE = {"float32": 2e-3, "float16": 3e-2, "bfloat16": 2e-1}


def set_weights(model: Any, seed: int = 0) -> None:
    """Set weights of an unused model so that each part of it affects the logits.

    Those that families begin with are small, so that at first a model says nearly the same whatever it reads. Weights
    of two axes and more are drawn so that sizes stay about 1; others are moved a little from where they are.
    """
    from mindspore import Tensor

    random = np.random.default_rng(seed)
    for _, parameter in sorted(model.parameters_and_names()):
        shape = tuple(parameter.shape)
        drawn = random.standard_normal(shape)
        if len(shape) >= 2:
            values = drawn / np.sqrt(min(shape[-2:]))
        else:
            values = parameter.asnumpy().astype(np.float32) + 0.1 * drawn
        parameter.set_data(Tensor(values.astype(np.float32)).astype(parameter.dtype))


def digests(model: Any) -> dict[str, str]:
    """Return the SHA-256 of each weight's bytes."""
    return {
        name: hashlib.sha256(np.ascontiguousarray(parameter.float().asnumpy()).tobytes()).hexdigest()
        for name, parameter in model.parameters_and_names()
    }


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference, as a part of the largest number (1 at least); infinite where one is no number."""
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    largest = max(1.0, float(np.abs(one).max(initial=0.0)))
    return float(np.abs(one - other).max(initial=0.0)) / largest


def flat(output: Any) -> list[Any]:
    """Return the floating-point tensors of a model's output: a tensor, or tuples, mappings and dataclasses of them."""
    if hasattr(output, "asnumpy"):
        return [output] if "Float" in str(output.dtype) else []
    if isinstance(output, Mapping):
        output = list(output.values())
    elif dataclasses.is_dataclass(output):
        output = [getattr(output, field.name) for field in dataclasses.fields(output)]
    return [tensor for part in output for tensor in flat(part)] if isinstance(output, (list, tuple)) else []
