"""The sharded form of a checkpoint: files with the tensor shards of each process, and an index of them.

Such a folder has ``config.json`` and the like as the whole form does, ``layout.json``, and for each rank that writes
shards ``shards/rank-00003.safetensors`` and ``shards/rank-00003.optimizer.safetensors``. A shard that several
processes have is written by one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import CheckpointError, FileMissingError, IntegrityError, describe
from ..parallel.device_mesh import Layout
from ..parallel.plan import Split
from ..utils.files import ADAPTER_FILE, ADAPTER_WEIGHTS_FILE, INDEX_LIMIT, read_json, write_json
from ..utils.paths import user_path
from .shards import KINDS
from .tensor_shards import ShardedTensor

#: The index of a sharded checkpoint; a folder that has it is one.
LAYOUT_FILE = "layout.json"
#: The folder, within a sharded checkpoint, of the ranks' files.
SHARDS = "shards"
#: The optimizer's states, in the whole form.
OPTIMIZER_FILE = "optimizer.safetensors"

#: Files and folders that a whole model must not have beside it: they are of another model, or of adapters for one.
MODEL_STALE = (LAYOUT_FILE, SHARDS, ADAPTER_FILE, ADAPTER_WEIGHTS_FILE)

#: Part of a checkpoint: the model's weights, or the optimizer's states.
Kind = Literal["weights", "optimizer"]

_FORMAT = 1
_GRID = ("data", "tensor", "pipeline", "expert")
_KINDS: tuple[Kind, Kind] = ("weights", "optimizer")
#: More processes than any cluster has: a damaged file must not cause work without end.
_MOST = 1 << 20


@dataclass(frozen=True)
class Index:
    """The contents of ``layout.json``.

    Attributes:
        layout: The device mesh that wrote the checkpoint.
        weights: Parameter -> how it is distributed.
        optimizer: State -> the same; empty where there are none.
    """

    layout: Layout
    weights: Mapping[str, ShardedTensor]
    optimizer: Mapping[str, ShardedTensor] = field(default_factory=dict)

    def tensors(self, kind: Kind) -> Mapping[str, ShardedTensor]:
        """Return the tensors of a kind."""
        return self.weights if kind == "weights" else self.optimizer

    def write(self, folder: Path) -> None:
        """Write ``layout.json`` into a folder, atomically."""
        grid = {name: getattr(self.layout, name) for name in _GRID}
        kinds = {kind: {name: _to_json(entry) for name, entry in self.tensors(kind).items()} for kind in _KINDS}
        write_json(folder / LAYOUT_FILE, {"format": _FORMAT, "layout": grid, **kinds})

    @classmethod
    def read(cls, folder: Path) -> Index:
        """Read a folder's ``layout.json``.

        Raises:
            FileMissingError: There is none.
            CheckpointError: It is of a format that this version does not know.
            IntegrityError: It is damaged.
        """
        path = folder / LAYOUT_FILE
        if not path.is_file():
            raise FileMissingError(
                f"{str(folder)!r} has no {LAYOUT_FILE}: it is no checkpoint in the sharded form", value=str(folder),
                why=None if folder.is_dir() else "there is no such folder",
            )  # fmt: skip
        try:
            data = read_json(path, INDEX_LIMIT)
            number = data["format"]
            if number == _FORMAT:
                layout = _layout(data["layout"])
                weights, optimizer = ({name: _from_json(name, entry, layout) for name, entry in data[kind].items()}
                                      for kind in _KINDS)  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, IntegrityError) as error:
            lacks = f"it has no {error}" if isinstance(error, KeyError) else describe(error)
            raise IntegrityError(
                f"{path} does not say how the checkpoint is sharded", value=str(path), why=lacks,
                hint="copy the checkpoint again, or use another",
            ) from error  # fmt: skip
        if number != _FORMAT:
            raise CheckpointError(
                f"{path} is of the format {number!r}, and this version reads {_FORMAT}", value=number,
                hint="pip install --upgrade mf-framework",
            )  # fmt: skip
        return cls(layout, weights, optimizer)


def is_sharded(folder: str | Path) -> bool:
    """Return whether a folder is a checkpoint in the sharded form."""
    return (user_path(folder) / LAYOUT_FILE).is_file()


def shard_file(rank: int, kind: Kind) -> str:
    """Return the name, within a checkpoint's folder, of the file with a rank's shards."""
    return f"{SHARDS}/rank-{rank:05d}{'.optimizer' if kind == 'optimizer' else ''}.safetensors"


def _to_json(entry: ShardedTensor) -> dict[str, Any]:
    split = None if entry.split is None else {"axis": entry.split.axis, "fused": entry.split.fused}
    return {"shape": list(entry.shape), "dtype": entry.dtype, "split": split, "stages": list(entry.stages),
            "expert": entry.expert, "flat": entry.flat}  # fmt: skip


def _layout(data: Any) -> Layout:
    layout = Layout(*(_count(data[name], name, 1) for name in _GRID))
    if layout.size > _MOST or layout.data % layout.expert:
        raise ValueError(f"{layout} is no grid of processes")
    return layout


def _from_json(name: str, data: Any, layout: Layout) -> ShardedTensor:
    shape = tuple(_count(size, name, 0) for size in data["shape"])
    split = data["split"]
    if split is not None:
        fused = split["fused"]
        sizes = tuple(_count(size, name, 1) for size in fused) if isinstance(fused, list) else _count(fused, name, 1)
        split = Split(_count(split["axis"], name, 0), sizes)
        unit = 0 if split.axis >= len(shape) or not split.sizes else shape[split.axis] // sum(split.sizes)
        if unit * sum(split.sizes) != (shape[split.axis : split.axis + 1] or (-1,))[0] or any(
            size * unit % layout.tensor for size in split.sizes
        ):
            raise ValueError(f"{name!r} of {shape} cannot be cut along {split.axis} into {layout.tensor} pieces")
    stages = tuple(_count(stage, name, 0) for stage in data["stages"])
    expert = None if data["expert"] is None else _count(data["expert"], name, 0)
    if not stages or sorted(set(stages)) != list(stages) or stages[-1] >= layout.pipeline:
        raise ValueError(f"{name!r} is in the stages {stages}, of {layout.pipeline}")
    if expert is not None and (expert >= layout.expert or data["flat"]):
        raise ValueError(f"{name!r} has the index {expert} of {layout.expert} on the expert axis, flat or not")
    if data["dtype"] not in KINDS or not isinstance(data["flat"], bool):
        raise ValueError(f"{name!r} is of the type {data['dtype']!r}, flat: {data['flat']!r}")
    return ShardedTensor(shape, data["dtype"], split, stages, expert, data["flat"])


def _count(value: Any, name: str, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{name!r} has {value!r} where a whole number from {least} belongs")
    return value
