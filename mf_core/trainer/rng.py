"""Python's and numpy's generators of random numbers, which datasets may draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

#: What ``random.getstate()`` and ``numpy.random.get_state()`` give.
RandomState = tuple[Any, Any]


def random_state() -> RandomState:
    """Return the states of Python's and numpy's global generators."""
    return random.getstate(), np.random.get_state()


def restore_random_state(state: RandomState) -> None:
    """Restore the result of :func:`random_state`."""
    random.setstate(state[0])
    np.random.set_state(state[1])


def state_to_json(state: RandomState | None) -> Any:
    """Return the states as JSON has them."""
    if state is None:
        return None
    (version, numbers, gauss), (kind, keys, position, has_gauss, cached) = state
    return [[version, list(numbers), gauss], [kind, np.asarray(keys).tolist(), position, has_gauss, cached]]


def state_from_json(data: Any) -> RandomState | None:
    """Return what :func:`state_to_json` was given."""
    if data is None:
        return None
    (version, numbers, gauss), (kind, keys, position, has_gauss, cached) = data
    return (version, tuple(numbers), gauss), (kind, np.array(keys, np.uint32), position, has_gauss, cached)
