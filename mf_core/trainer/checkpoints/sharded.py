"""Checkpoints of a model that is sharded over processes: what each writes, and how it is published."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...checkpoint.reshard import write_whole
from ...checkpoint.sharded import LAYOUT_FILE, SHARDS, Index, Kind, shard_file
from ...checkpoint.shards import save_tensors
from ...checkpoint.tensor_shards import ShardedTensor, state_entries, writes
from ...checkpoint.weights import to_numpy
from ...models.base import PretrainedModel
from ...parallel.shard_model import ShardedState


class ShardedCheckpoint:
    """One process's part in the checkpoints of a sharded model.

    Args:
        model: The model.
        sharding: How it is sharded.
        integrated: Whether the first process makes whole files of all pieces; else the sharded form is kept.
    """

    def __init__(self, model: PretrainedModel, sharding: ShardedState, *, integrated: bool) -> None:
        self._model, self._sharding, self._integrated = model, sharding, integrated

    def index(self, states: Mapping[str, Any]) -> Index:
        """Return how weights and optimizer states lie in the processes.

        Args:
            states: This process's, by name; the others have the same kinds.
        """
        sharding = self._sharding
        kinds = {name: _saved_dtype(p) for name, p in self._model.parameters_and_names()}
        first = next(iter(kinds.values()), "float32")  # of a stage's parameters, for those of other stages
        weights = {
            name: ShardedTensor.at(spec, kinds.get(name, first)) for name, spec in sharding.specs.items()
        }  # fmt: skip
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        trained = [name for name in sharding.specs if name in sharding.trained]  # not the set: its order differs
        for state, parameter in states.items():
            own = next((name for name in sharding.own if state.endswith(f".{name}")), None)
            if own is None:
                found[state] = (tuple(parameter.shape), _saved_dtype(parameter))
            else:
                slot = state.removesuffix(own)
                found.update({slot + name: (sharding.specs[name].shape, "float32") for name in trained})
        shard = sharding.config.optimizer_shard
        return Index(
            sharding.layout.at(0), weights, state_entries(found, weights, sharding.layout, optimizer_shard=shard)
        )

    def copy(self, states: Mapping[str, Any] | None) -> Callable[[Path], None]:
        """Copy what this process writes, and return what writes it into a folder.

        Args:
            states: The optimizer's, by name; None: the weights alone.
        """
        index = self.index(states or {})
        weights = dict(self._model.parameters_and_names())
        pieces = {"weights": _own(weights, index.weights, self._sharding)}
        if states is not None:
            pieces["optimizer"] = _own(states, index.optimizer, self._sharding)

        def write(folder: Path) -> None:
            (folder / SHARDS).mkdir(exist_ok=True)
            kind: Kind
            for kind in pieces:  # type: ignore[assignment]
                if pieces[kind]:
                    save_tensors(folder / shard_file(self._sharding.layout.rank, kind), pieces[kind])
            if self._sharding.layout.rank == 0:
                index.write(folder)
                self._model.save_config(folder, dtype=next(iter(index.weights.values())).dtype)

        return write

    def finish(self, folder: Path) -> None:
        """Make whole files of the pieces in a folder, where that is wanted."""
        if self._integrated:
            write_whole(folder, folder)
            shutil.rmtree(folder / SHARDS)
            (folder / LAYOUT_FILE).unlink()


def _own(tensors: Mapping[str, Any], entries: Mapping[str, ShardedTensor], sharding: ShardedState) -> dict[str, Any]:
    """Return copies of those of which this process is the one that writes them."""
    chosen = {name: p for name, p in tensors.items() if writes(entries[name], sharding.layout)}
    return {name: to_numpy(p).copy() for name, p in chosen.items()}


def _saved_dtype(parameter: Any) -> str:
    name = str(parameter.dtype).lower()
    return "float32" if name == "bfloat16" else name
