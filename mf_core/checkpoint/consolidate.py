"""Reading whole tensors from a checkpoint in either form, one in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import CheckpointError, FileMissingError, IntegrityError, MFError
from ..parallel.device_mesh import Layout
from ..utils.paths import user_path
from .safetensors_reader import StoredTensor, stored_tensors, weights_of_folder
from .sharded import LAYOUT_FILE, OPTIMIZER_FILE, SHARDS, Index, Kind, is_sharded, shard_file
from .shards import KINDS, LazyTensor
from .tensor_shards import ShardedTensor, whole_of, writers

#: A tensor's name and a file's within the checkpoint -> the shard in it.
Pieces = Mapping[tuple[str, str], StoredTensor]

_COPY = "copy the file again from where it was written, or use another checkpoint"


def whole_tensors(folder: str | Path, kind: Kind = "weights") -> list[LazyTensor]:
    """Return a checkpoint's whole tensors, in either form; each is joined from mapped shards when it is read.

    Args:
        folder: The checkpoint.
        kind: ``"weights"``, or ``"optimizer"`` for the optimizer's states: an empty list where there are none.

    Raises:
        FileMissingError: There are no weights.
        CheckpointError, IntegrityError: A shard is missing or damaged; all headers are checked before any is read.
    """
    path = user_path(folder)
    if not is_sharded(path):
        if kind == "weights":
            stored = weights_of_folder(path)
        else:
            stored = stored_tensors(path / OPTIMIZER_FILE) if (path / OPTIMIZER_FILE).is_file() else {}
        return [LazyTensor(name, tensor.shape, tensor.dtype, tensor.read) for name, tensor in stored.items()]
    index = Index.read(path)
    pieces, faults = find_shards(path, index, kind)
    if faults:
        raise faults[0]
    return [
        LazyTensor(name, entry.shape, entry.dtype, partial(_join, name, entry, index.layout, kind, pieces))
        for name, entry in index.tensors(kind).items()
    ]


def _join(name: str, entry: ShardedTensor, layout: Layout, kind: Kind, pieces: Pieces) -> np.ndarray:
    parts = ([pieces[name, shard_file(rank, kind)].read() for rank in ranks] for ranks in writers(entry, layout))
    return whole_of(parts, entry, layout)


def find_shards(folder: Path, index: Index, kind: Kind) -> tuple[Pieces, list[MFError]]:
    """Return the shards of a sharded checkpoint that its index names, and the faults that were found."""
    entries = index.tensors(kind)
    wanted: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for ranks in writers(entry, index.layout):
            for rank in ranks:
                wanted.setdefault(shard_file(rank, kind), []).append(name)
    for path in sorted((folder / SHARDS).glob("rank-*.safetensors")):
        if path.name.endswith(".optimizer.safetensors") == (kind == "optimizer"):
            wanted.setdefault(f"{SHARDS}/{path.name}", [])
    pieces: dict[tuple[str, str], StoredTensor] = {}
    faults: list[MFError] = []
    for file, names in wanted.items():
        path = folder / file
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        what = f"pieces of {names[0]!r}{others}" if names else "nothing"
        try:
            stored = stored_tensors(path)
        except FileMissingError:
            faults.append(CheckpointError(
                f"{path} is missing, which holds {what}", value=str(path),
                hint="copy it from where its process wrote it, or use another checkpoint",
            ))  # fmt: skip
            continue
        except IntegrityError as error:
            message = f"{error.what}; it is to hold {what}"
            faults.append(IntegrityError(message, value=error.value, why=error.why, hint=_COPY))
            continue
        for name in names:
            fault = _fault(stored.get(name), name, entries[name], index.layout, path)
            if fault is None:
                pieces[name, file] = stored[name]
            else:
                faults.append(fault)
        left_over = sorted(stored.keys() - set(names))
        if left_over:  # the index is another checkpoint's, or cut short
            faults.append(IntegrityError(
                f"{path} has a {left_over[0]!r}, which does not belong there by {LAYOUT_FILE}", value=left_over,
                hint=f"copy {LAYOUT_FILE} and the files of {SHARDS}/ again, all from one checkpoint",
            ))  # fmt: skip
    return pieces, faults


def _fault(
    stored: StoredTensor | None, name: str, entry: ShardedTensor, layout: Layout, path: Path
) -> IntegrityError | None:
    shape = entry.piece_shape(layout)
    if stored is None:
        return IntegrityError(f"{path} lacks its piece of {name!r}", value=name, hint=_COPY)
    if (stored.shape, stored.kind) == (shape, KINDS[entry.dtype]):
        return None
    return IntegrityError(
        f"the piece of {name!r} in {path} is {stored.kind} {stored.shape}; {LAYOUT_FILE} says {entry.dtype} {shape}",
        value=name, hint=_COPY,
    )  # fmt: skip
