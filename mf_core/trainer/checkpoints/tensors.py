"""Tensors of a checkpoint: copying them to the host, and loading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.consolidate import whole_tensors
from ...checkpoint.sharded import OPTIMIZER_FILE, Index
from ...checkpoint.tensor_shards import shard_of
from ...errors import CheckpointError
from ...parallel import Layout


def host_copy(parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return copies, in the host's memory, of parameters by name."""
    return {name: np.array(parameter.asnumpy(), copy=True) for name, parameter in parameters.items()}


def load_tensors(
    folder: Path, parameters: Mapping[str, Any], index: Index | None = None, layout: Layout | None = None
) -> None:
    """Put a checkpoint's optimizer states, in either form, into the parameters of the same names, in place.

    Args:
        folder: The checkpoint.
        parameters: This process's, by name.
        index: Where the states of all processes are; None: this one has all.
        layout: The grid and this process's rank.

    Raises:
        CheckpointError: A name or shape differs.
        FileMissingError, IntegrityError: A file is broken, or not there.
    """
    from mindspore import Tensor, ops

    tensors = {tensor.name: tensor for tensor in whole_tensors(folder, "optimizer")}
    where = folder / OPTIMIZER_FILE
    for name in sorted(set(tensors) ^ set(parameters if index is None else index.optimizer)):
        has, needs = ("has", "has not") if name in tensors else ("lacks", "needs")
        raise CheckpointError(
            f"{where} {has} {name!r}, which this run {needs}", value=name,
            hint="resume with the model, optim, dtype and pet_method that the run began with",
        )  # fmt: skip
    for name, parameter in parameters.items():
        array, shape = tensors[name].read(), tuple(parameter.shape)
        if index is not None and layout is not None:
            entry = index.optimizer[name]
            if array.shape == entry.shape:
                array = shard_of(array, entry, layout)
        if array.shape != shape:
            raise CheckpointError(f"{name!r} in {where} is {array.shape}; this run's is {shape}", value=name)
        ops.assign(parameter, Tensor(np.require(array, requirements=["C", "A"])))
