"""How parameters come into being: initialised, or left empty for weights that are about to be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import dtype as mstype

from ..backends.base import get_backend

_skip: ContextVar[bool] = ContextVar("mf_core_skip_init", default=False)


@contextmanager
def skip_init() -> Iterator[None]:
    """Within the block, :func:`parameter` reserves memory without touching it: somebody is about to load weights."""
    token = _skip.set(True)
    try:
        yield
    finally:
        _skip.reset(token)


def initializing() -> bool:
    """Tell whether parameters are given initial values now, rather than left for weights to be loaded."""
    return not _skip.get()


def parameter(shape: Sequence[int], init: float | tuple[str, float] = 0.0, dtype: str = "float32") -> Parameter:
    """Return a parameter.

    Args:
        shape: Its shape.
        init: A constant, or ``("normal", standard_deviation)``, drawn from numpy's global generator.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    """
    if _skip.get():
        array = np.empty(shape, np.float16 if dtype != "float32" else np.float32)
    elif isinstance(init, tuple):
        array = np.random.standard_normal(tuple(shape)).astype(np.float32) * np.float32(init[1])
    else:
        array = np.full(shape, init, np.float32)
    return Parameter(_tensor(array, dtype))  # straight on: MindSpore copies a tensor that has a name


def _tensor(array: np.ndarray, dtype: str) -> Tensor:
    tensor = Tensor.from_numpy(array)
    wanted = ms_dtype(dtype)
    return tensor if tensor.dtype == wanted else tensor.astype(wanted)


def activation_dtype(name: str) -> Any:
    """Return MindSpore's type of what layers hand on that compute in a type, as the backend in use has it."""
    return ms_dtype(get_backend().activation_dtype(name))


def ms_dtype(name: str) -> Any:
    """Return MindSpore's type for ``"float32"``, ``"float16"`` or ``"bfloat16"``."""
    return getattr(mstype, name)
