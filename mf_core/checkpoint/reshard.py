"""Converting checkpoints between the whole and the sharded form, and between layouts, a tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..backends.base import load_class
from ..errors import ArgumentError
from ..parallel.device_mesh import Layout
from ..parallel.validate import fit
from ..plugins.registry import registry
from ..utils.files import atomic_path
from ..utils.paths import user_path
from .atomic_dir import copy_rest, new_folder
from .consolidate import whole_tensors
from .locate import locate
from .sharded import OPTIMIZER_FILE, SHARDS, Index, Kind, is_sharded, shard_file
from .shards import SHARD_SIZE, LazyTensor, add_digest, bytes_of, file_header, write_file, write_shards
from .tensor_shards import ShardedTensor, shard_of, state_entries, writers

OnTensor = Callable[[LazyTensor], None]


def merge(
    folder: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    shard_size: int = SHARD_SIZE,
    on_tensor: OnTensor | None = None,
) -> list[Path]:
    """Write the whole form of a sharded checkpoint, bit for bit the same, in one step.

    Args:
        folder: The checkpoint.
        out: The folder to write; not there, or empty.
        overwrite: Replace the checkpoint that is in ``out``.
        shard_size: Most bytes in a weights file; beyond it they are split.
        on_tensor: Called after each tensor.

    Returns:
        The weights files.

    Raises:
        ArgumentError: The checkpoint is whole already, or ``out`` cannot be written to.
        FileMissingError, CheckpointError, IntegrityError: A shard is missing or damaged.
    """
    source, target = user_path(folder), user_path(out)
    if source.is_dir() and not is_sharded(source):
        raise ArgumentError(
            f"{str(source)!r} is no checkpoint in the sharded form", value=str(source), why="it has no layout.json",
            hint="`mf ckpt split` makes one of a checkpoint in the whole form",
        )  # fmt: skip
    Index.read(source)
    with new_folder(target, source, overwrite) as aside:
        files = write_whole(source, aside, shard_size=shard_size, on_tensor=on_tensor)
        copy_rest(source, aside)
    return [target / file.name for file in files]


def write_whole(
    source: Path, target: Path, *, shard_size: int = SHARD_SIZE, on_tensor: OnTensor | None = None
) -> list[Path]:
    """Write the weights' files and the optimizer's, in the whole form, of a checkpoint into a folder.

    Args:
        source: The checkpoint.
        target: The folder; it may be ``source``, whose shards stay.
        shard_size: Most bytes in a weights file.
        on_tensor: Called after each tensor.

    Returns:
        The weights files.
    """
    weights, states = whole_tensors(source), whole_tensors(source, "optimizer")
    files = write_shards(weights, target, shard_size=shard_size, on_tensor=on_tensor)
    if states:
        with atomic_path(target / OPTIMIZER_FILE) as temporary:
            write_file(temporary, states, on_tensor)
    return files


def split(
    folder: str | Path,
    out: str | Path,
    layout: Layout,
    optimizer_shard: bool = False,
    vocabulary: bool = False,
    *,
    overwrite: bool = False,
    on_tensor: OnTensor | None = None,
) -> Index:
    """Write the sharded form, for a layout, of a checkpoint in either form, in one step.

    Args:
        folder: The checkpoint; its ``config.json`` names the model, whose parallel plan is followed.
        out: The folder to write; not there, or empty.
        layout: The device mesh; its rank does not matter.
        optimizer_shard: Whether the optimizer's states are sharded over the replicas of the model.
        vocabulary: Whether embeddings are split by vocabulary (``vocab_emb_dp=False``).
        overwrite: Replace the checkpoint that is in ``out``.
        on_tensor: Called after each tensor.

    Returns:
        The contents of ``layout.json``.

    Raises:
        ArgumentError: A size is not divisible, or ``out`` cannot be written to.
        UnsupportedError: The model has no parallel plan.
        FileMissingError, CheckpointError, IntegrityError: A file is missing or damaged.
    """
    source, target = user_path(folder), user_path(out)
    weights, states = whole_tensors(source), whole_tensors(source, "optimizer")
    checkpoint = locate(source)
    model = load_class(registry.find("model:base", checkpoint.model_type, checkpoint.owner))
    shapes = {tensor.name: tensor.shape for tensor in weights}
    config = model.config_class.from_dict(checkpoint.config)
    names, where = fit(model, config, shapes, layout, vocabulary=vocabulary)
    weights = [replace(tensor, name=names[tensor.name]) for tensor in weights if tensor.name in names]
    entries = {tensor.name: ShardedTensor.at(where[tensor.name], tensor.dtype) for tensor in weights}
    kept = {tensor.name: (tensor.shape, tensor.dtype) for tensor in states}
    index = Index(layout.at(0), entries, state_entries(kept, entries, layout, optimizer_shard=optimizer_shard))
    with new_folder(target, source, overwrite) as aside:
        (aside / SHARDS).mkdir()
        _write_shards(aside, index, "weights", weights, on_tensor)
        _write_shards(aside, index, "optimizer", states, on_tensor)
        index.write(aside)
        copy_rest(source, aside)
    return index


def _write_shards(
    folder: Path, index: Index, kind: Kind, tensors: list[LazyTensor], on_tensor: OnTensor | None
) -> None:
    """Write the files of all ranks side by side: each tensor is read once, and its shards go into their files."""
    layout, entries = index.layout, index.tensors(kind)
    ranks = {tensor.name: [rank for part in writers(entries[tensor.name], layout) for rank in part]
             for tensor in tensors}  # fmt: skip
    described: dict[int, dict[str, tuple[tuple[int, ...], str]]] = {}
    for name, writing in ranks.items():
        for rank in writing:
            described.setdefault(rank, {})[name] = entries[name].piece_shape(layout), entries[name].dtype
    offsets: Mapping[int, Mapping[str, int]] = {
        rank: _begin(folder / shard_file(rank, kind), described[rank]) for rank in sorted(described)
    }
    for tensor in tensors:
        whole = tensor.read()
        for rank in ranks[tensor.name]:
            with (folder / shard_file(rank, kind)).open("r+b") as file:  # not all open at once: ranks may be many
                file.seek(offsets[rank][tensor.name])
                file.write(bytes_of(shard_of(whole, entries[tensor.name], layout.at(rank))))
        del whole
        if on_tensor is not None:
            on_tensor(tensor)
    for rank in offsets:
        add_digest(folder / shard_file(rank, kind))


def _begin(path: Path, tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, int]:
    start, offsets = file_header(tensors)
    path.write_bytes(start)
    return offsets
