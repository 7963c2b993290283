"""Creation of parameters: initialised, or uninitialised before weights are loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import dtype as mstype

from ..backends.base import get_backend
from ..errors import WeightsError

_skip: ContextVar[bool] = ContextVar("mf_core_skip_init", default=False)
_budget: ContextVar[Budget | None] = ContextVar("mf_core_budget", default=None)


@dataclass
class Budget:
    """How many parameters and elements a model may have whose weights are about to be loaded.

    Attributes:
        where: What errors call the weights.
        parameters, elements: How many are left.
    """

    where: str
    parameters: int
    elements: int

    @classmethod
    def of(cls, shapes: Iterable[Sequence[int]], where: str) -> Budget:
        """Return a budget for a checkpoint's tensors: twice as much, since a model may have heads that it lacks."""
        sizes = [math.prod(shape) for shape in shapes]
        return cls(where, 2 * len(sizes) + 64, 2 * sum(sizes) + (1 << 20))

    def take(self, shape: Sequence[int]) -> None:
        """Raise WeightsError once a model has more than the budget, before memory for it is reserved."""
        self.parameters -= 1
        self.elements -= math.prod(shape)
        if self.parameters < 0 or self.elements < 0:
            raise WeightsError(
                f"the configuration is of a much larger model than the weights at {self.where}", value=tuple(shape),
                why=f"a parameter of {tuple(shape)} exceeds twice what the files hold",
                hint="check that config.json and the weights are of one model (num_layers, vocab_size, hidden_size)",
            )  # fmt: skip


@contextmanager
def skip_init(budget: Budget | None = None) -> Iterator[None]:
    """Within the block, :func:`parameter` reserves memory without touching it, as weights are about to be loaded.

    Args:
        budget: Raises WeightsError for a model that is much larger than its weights, before it takes memory and time.
    """
    token, before = _skip.set(True), _budget.set(budget)
    try:
        yield
    finally:
        _skip.reset(token)
        _budget.reset(before)


def initializing() -> bool:
    """Return whether parameters are initialised now."""
    return not _skip.get()


def parameter(shape: Sequence[int], init: float | tuple[str, float] = 0.0, dtype: str = "float32") -> Parameter:
    """Return a parameter.

    Args:
        shape: Its shape.
        init: A constant, or ``("normal", standard_deviation)``, drawn from numpy's global generator.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    """
    budget = _budget.get()
    if budget is not None:
        budget.take(shape)
    if not _skip.get():
        return Parameter(_tensor(_drawn(shape, init), dtype))  # straight on: MindSpore copies a tensor that has a name
    empty = Parameter(_tensor(np.empty(shape, np.float16 if dtype != "float32" else np.float32), dtype))
    empty.init_value = init
    return empty


def initialize(parameter: Parameter) -> None:
    """Initialise a parameter that :func:`skip_init` left uninitialised; any other is unchanged."""
    init = parameter.__dict__.pop("init_value", None)
    if init is not None:
        parameter.set_data(_tensor(_drawn(parameter.shape, init), str(parameter.dtype).lower()))


def _drawn(shape: Sequence[int], init: float | tuple[str, float]) -> np.ndarray:
    if isinstance(init, tuple):
        return np.random.standard_normal(tuple(shape)).astype(np.float32) * np.float32(init[1])
    return np.full(shape, init, np.float32)


def _tensor(array: np.ndarray, dtype: str) -> Tensor:
    tensor = Tensor.from_numpy(array)
    wanted = ms_dtype(dtype)
    return tensor if tensor.dtype == wanted else tensor.astype(wanted)


def activation_dtype(name: str) -> Any:
    """Return MindSpore's type of activations for a compute type, as the backend in use defines it."""
    return ms_dtype(get_backend().activation_dtype(name))


def ms_dtype(name: str) -> Any:
    """Return MindSpore's type for ``"float32"``, ``"float16"`` or ``"bfloat16"``."""
    return getattr(mstype, name)
