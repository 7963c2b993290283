"""Describing a checkpoint, whole or sharded, and its missing or damaged files, from headers alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileMissingError, IntegrityError, MFError, describe
from ..parallel.device_mesh import Layout
from ..utils.commit import finish
from ..utils.files import ADAPTER_FILE, CONFIG_FILE, read_config_file
from .consolidate import find_shards
from .safetensors_reader import StoredTensor, adapter_weights, stored_tensors, weights_of_folder
from .sharded import OPTIMIZER_FILE, Index, Kind, is_sharded, shard_file
from .tensor_shards import ShardedTensor, writers

#: Where a run's checkpoint says how far the run was.
STATE_FILE = "trainer_state.json"


def inspect(folder: Path) -> dict[str, Any]:
    """Describe a checkpoint.

    Args:
        folder: A checkpoint of a run, in either form, a model that ``save_pretrained`` wrote, or adapters.

    Returns:
        ``checkpoint``; ``model_type`` or None; ``adapter``: None for a model, else its settings, of which
        ``base_model_name_or_path`` is the model that it is for; ``layout``, as ``layout.json`` has it, or None for the
        whole form; ``step`` or None; ``weights`` and ``optimizer``: None where there are none, else ``tensors``,
        ``numbers``, ``bytes``, ``dtypes``, all of the whole; ``files``: for each ``file``, ``rank``, ``tensors`` (None:
        missing or broken) and ``bytes``; ``tensors``: for each ``name``, ``kind``, ``dtype``, ``shape`` and ``where``;
        ``faults``, a line for each; ``complete``: there are none.

    Raises:
        FileMissingError: The folder has no checkpoint.
        CheckpointError, IntegrityError: ``layout.json`` cannot be read.
    """
    finish(folder)
    faults: list[MFError] = []
    is_adapter = (folder / ADAPTER_FILE).is_file() and not (folder / CONFIG_FILE).is_file()
    adapter = _read(folder / ADAPTER_FILE, faults) if is_adapter else None
    config = {} if is_adapter else _read(folder / CONFIG_FILE, faults, needed=True)
    state = _read(folder / STATE_FILE, faults)
    step, layout = state.get("global_step"), None
    if is_sharded(folder):
        index = Index.read(folder)
        layout = {name: getattr(index.layout, name) for name in ("data", "tensor", "pipeline", "expert")}
        weights, states = _sharded(folder, index, "weights", faults), _sharded(folder, index, "optimizer", faults)
    else:
        read = adapter_weights if is_adapter else weights_of_folder
        weights, states = _whole(folder, "weights", read, faults), _whole(folder, "optimizer", _states, faults)
    return {
        "checkpoint": str(folder),
        "model_type": config.get("model_type"),
        "adapter": adapter,
        "layout": layout,
        "step": step if isinstance(step, int) else None,
        "weights": _total(weights["tensors"]),
        "optimizer": _total(states["tensors"]),
        "files": weights["files"] + states["files"],
        "tensors": weights["tensors"] + states["tensors"],
        "faults": [describe(fault) for fault in faults],
        "complete": not faults,
    }


def _read(path: Path, faults: list[MFError], *, needed: bool = False) -> Mapping[str, Any]:
    try:
        if path.is_file():
            return read_config_file(path)
        if needed:
            faults.append(FileMissingError(f"{path} is missing", value=str(path)))
    except IntegrityError as error:
        faults.append(error)
    return {}


def _sharded(folder: Path, index: Index, kind: Kind, faults: list[MFError]) -> dict[str, Any]:
    pieces, wrong = find_shards(folder, index, kind)
    faults.extend(wrong)
    entries = index.tensors(kind)
    ranks = {rank for entry in entries.values() for part in writers(entry, index.layout) for rank in part}
    held = Counter(file for _, file in pieces)
    files = [_file(folder, file := shard_file(rank, kind), held.get(file), rank) for rank in sorted(ranks)]
    tensors = [
        _tensor(name, kind, entry.shape, entry.dtype, _where(entry, index.layout)) for name, entry in entries.items()
    ]
    return {"files": files, "tensors": tensors}


def _where(entry: ShardedTensor, layout: Layout) -> str:
    """Return in words how a tensor is distributed."""
    words = []
    if layout.pipeline > 1:
        words.append(f"stage {' and '.join(map(str, entry.stages))}")
    if entry.split is not None:
        count = len(entry.split.sizes)
        fused = f", {count} fused" if count > 1 else ""
        words.append(f"axis {entry.split.axis} in {layout.tensor}{fused}")
    if entry.expert is not None:
        words.append(f"expert index {entry.expert}")
    if entry.flat:
        words.append(f"flat in {layout.data}")
    return "; ".join(words) or "whole"


def _states(folder: Path) -> Mapping[str, StoredTensor]:
    return stored_tensors(folder / OPTIMIZER_FILE) if (folder / OPTIMIZER_FILE).is_file() else {}


def _whole(
    folder: Path, kind: Kind, read: Callable[[Path], Mapping[str, StoredTensor]], faults: list[MFError]
) -> dict[str, Any]:
    try:
        stored = read(folder)
        counts = Counter(tensor.path.relative_to(folder).as_posix() for tensor in stored.values())
        tensors = [_tensor(name, kind, tensor.shape, tensor.dtype, "whole") for name, tensor in stored.items()]
    except (IntegrityError, FileMissingError) as error:
        if not any(folder.glob("*.safetensors")):
            raise
        faults.append(error)
        return {"files": [], "tensors": []}
    return {"files": [_file(folder, name, count) for name, count in counts.items()], "tensors": tensors}


def _file(folder: Path, name: str, tensors: int | None, rank: int | None = None) -> dict[str, Any]:
    path = folder / name
    return {"file": name, "rank": rank, "tensors": tensors, "bytes": path.stat().st_size if path.is_file() else 0}


def _tensor(name: str, kind: Kind, shape: tuple[int, ...], dtype: str, where: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "dtype": dtype, "shape": list(shape), "where": where}


def _total(tensors: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not tensors:
        return None
    numbers = [math.prod(tensor["shape"]) for tensor in tensors]
    sizes = [count * np.dtype(tensor["dtype"]).itemsize for count, tensor in zip(numbers, tensors, strict=True)]
    dtypes = sorted({tensor["dtype"] for tensor in tensors})
    return {"tensors": len(tensors), "numbers": sum(numbers), "bytes": sum(sizes), "dtypes": dtypes}
