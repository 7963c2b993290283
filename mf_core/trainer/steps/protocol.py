"""What takes the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

#: The arrays of a batch.
Batch = tuple[np.ndarray, ...]


class Step(Protocol):
    """Takes optimisation steps.

    Attributes:
        scaled: Whether the loss is scaled, so that a gradient may overflow while the scale is being found.
    """

    scaled: bool

    def run(self, number: int, rate: float, batches: Sequence[Batch]) -> tuple[Any, Any, Any]:
        """Take step ``number`` (from 1); return mean loss, number of targets and gradient norm, on the device."""

    def state(self) -> Mapping[str, Any]:
        """Return what must be saved to resume, beside the weights: parameters by name."""

    def refresh(self) -> None:
        """Adopt weights that have been loaded into the model."""
