"""A model's plan as strategies for MindSpore's own parallel compiler (SEMI_AUTO_PARALLEL, AUTO_PARALLEL).

There every process runs one program on whole shapes, and the compiler cuts each operator as its strategy says: how many
parts each axis of each input is in. Layers describe their operators in the words of :mod:`mf_core.nn.operators`; the
plan and the settings make numbers of them. Devices along which an operator is not split repeat its calculation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mindspore import nn

from ..errors import ArgumentError, UnsupportedError
from .config import ParallelConfig
from .plan import ParallelPlan, matches, within
from .validate import plan_of

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

#: How many parts each axis of an array is in.
Cut = tuple[int, ...]
#: Word -> the axes of the devices that split what it names.
Axes = Mapping[str, tuple[str, ...]]

#: Words for what is split over the tensor axis only where nothing else of an operator is.
_YIELDING = ("positions", "all")


@dataclass(frozen=True)
class Strategy:
    """How an operator is split over the devices of a stage.

    Attributes:
        inputs: For each input the number of parts of each of its axes; empty for a number. Of ``OneHot`` the first is
            the output's.
        parts: How many devices do different parts of the calculation.
        replicas: How many repeat each of them; ``parts * replicas`` devices are the stage.
        outputs: Likewise for the results, where they are to be split otherwise than they come.
    """

    inputs: tuple[Cut, ...]
    parts: int
    replicas: int
    outputs: tuple[Cut, ...] | None = None


def strategies(
    network: nn.Cell, config: ParallelConfig, *, rows: int, positions: int, packed: bool = False
) -> dict[str, Strategy]:
    """Return the strategy of each operator that a network's cells own, by its path in the network.

    Args:
        network: A model, or a cell that holds one, such as its loss. It is not changed.
        config: The settings.
        rows: Examples in a batch, or in a micro-batch, over all copies of the model.
        positions: Places of each.
        packed: Whether examples have their own masks, as with ``packing="apart"``.

    Raises:
        ArgumentError: The settings do not fit the model, or the batch.
        UnsupportedError: The model has no plan; experts are to be sharded; or a cell does not say how one of its
            operators may be split, and the error names both.
    """
    model, start = find_model(network)
    config.check(model, config.device_num)
    _check(model, config, rows, positions)
    words = _Words(model, start, config, rows, positions, packed)
    return {path: words.strategy(path, operator, owners) for path, operator, owners in _operators(network)}


def find_model(network: nn.Cell) -> tuple[PretrainedModel, str]:
    """Return the model that a network is or holds, and what the paths of its cells begin with in the network.

    Raises:
        ArgumentError: There is none.
    """
    for path, cell in network.cells_and_names():
        if hasattr(type(cell), "parallel_plan"):
            return cast("PretrainedModel", cell), f"{path}." if path else ""
    raise ArgumentError(f"{type(network).__name__} is no model and holds none", value=network)


def _check(model: PretrainedModel, config: ParallelConfig, rows: int, positions: int) -> None:
    if model.sharding is not None:
        raise UnsupportedError(
            "the model is sharded over processes already, and MindSpore's compiler takes whole ones",
            value=model.sharding.layout, hint="create a new model, and do not pass it to a Trainer first",
        )  # fmt: skip
    if config.expert_parallel > 1:
        raise UnsupportedError(
            "MindSpore's compiler cannot shard these experts over devices", value=config.expert_parallel,
            why="it runs one program on all devices, and each expert is a separate cell",
            hint="set expert_parallel=1; model_parallel splits the weights of each expert",
        )  # fmt: skip
    if rows % config.data_parallel:
        raise ArgumentError(
            f"a batch of {rows} rows cannot be split by data_parallel={config.data_parallel}", value=rows,
            hint=f"make it a multiple of {config.data_parallel}",
        )  # fmt: skip
    if config.use_seq_parallel and positions % config.model_parallel:
        raise ArgumentError(
            f"rows of {positions} positions cannot be split by model_parallel={config.model_parallel}", value=positions,
            why="use_seq_parallel=True gives each device an equal part of them",
            hint=f"make them a multiple of {config.model_parallel}",
        )  # fmt: skip


@dataclass(frozen=True)
class _Owner:
    """A cell that an operator is in: its path in the network, itself, and the operator's path in it."""

    path: str
    cell: nn.Cell
    name: str

    def said(self) -> tuple[str, ...] | None:
        """Return what the cell says of the operator."""
        texts: tuple[str, ...] | None = getattr(type(self.cell), "operators", {}).get(self.name)
        return texts


def _operators(network: nn.Cell) -> Iterator[tuple[str, Any, list[_Owner]]]:
    """Yield each operator's path, itself, and the cells that it is in, the outermost first."""
    cells = dict(network.cells_and_names())
    for path, cell in cells.items():
        for name, operator in cell._primitives.items():
            if operator is not None:
                steps = [*path.split("."), name] if path else [name]
                starts = [(".".join(steps[:i]), ".".join(steps[i:])) for i in range(len(steps))]
                owners = [_Owner(start, cells[start], rest) for start, rest in starts if start in cells]
                yield ".".join(steps), operator, owners


class _Words:
    """Numbers for words, in one network with its settings."""

    def __init__(
        self, model: PretrainedModel, start: str, config: ParallelConfig, rows: int, positions: int, packed: bool
    ) -> None:
        self.model, self.start = model, start
        self.plan: ParallelPlan = plan_of(model, config.layout(0))
        self.sizes = {"data": config.data_parallel, "tensor": config.model_parallel}
        self.splits_positions = config.use_seq_parallel
        self.splits_vocabulary = not config.vocab_emb_dp
        self.packed = packed
        self.is_even = rows * positions % (config.data_parallel * config.model_parallel) == 0
        #: Whether the n-th part of a batch seen as one row of tokens is the n-th part of each copy's positions.
        self.one_each = rows == config.data_parallel

    def strategy(self, path: str, operator: Any, owners: list[_Owner]) -> Strategy:
        """Return an operator's strategy."""
        said = next((texts for owner in owners if (texts := owner.said()) is not None), None)
        if said is None:
            raise self._unsaid(path, operator, owners[-1])
        inputs = [text.split() for text in said if not text.startswith("->")]
        outputs = [text[2:].split() for text in said if text.startswith("->")]
        axes = self._axes(owners[-1].path)
        unknown = next((word for text in inputs + outputs for word in text if word not in axes), None)
        if unknown is not None:
            raise UnsupportedError(
                f"the operator {path} has an axis called {unknown!r}", value=unknown, why=f"it is said to have {said}",
                hint=f"the words are {' '.join(sorted(axes))}; mf_core.nn.operators explains them",
            )  # fmt: skip
        firm = {axis for text in inputs for word in text if word not in _YIELDING for axis in axes[word]}
        if "tensor" in firm:  # one axis of the devices splits one axis of an operator
            axes = {**axes, **{word: tuple(a for a in axes[word] if a != "tensor") for word in _YIELDING}}
        parts = self._product({axis for text in inputs for word in text for axis in axes[word]})
        as_they_come = [["tokens" if word == "summed" else word for word in text] for text in outputs]
        asked = self._cuts(outputs, axes)
        return Strategy(
            self._cuts(inputs, axes), parts, self._product(self.sizes) // parts,
            asked if asked != self._cuts(as_they_come, axes) else None,
        )  # fmt: skip

    def _cuts(self, texts: list[list[str]], axes: Axes) -> tuple[Cut, ...]:
        return tuple(tuple(self._product(axes[word]) for word in text) for text in texts)

    def _product(self, axes: Iterable[str]) -> int:
        return math.prod(self.sizes[axis] for axis in axes)

    def _axes(self, path: str) -> Axes:
        """Return which axes of the devices split what each word names, in the cell at a path."""
        inside = path.removeprefix(self.start) if path.startswith(self.start) else ""
        parent, tensor = inside.rpartition(".")[0], ("tensor",)
        is_column, is_row = matches(inside, tuple(self.plan.columns)), matches(inside, self.plan.rows)
        beside = any(matches(f"{parent}.{name.rpartition('.')[2]}", (name,)) for name in self.plan.columns)
        tokens = ("data", "tensor") if self.is_even else ("data",)
        return {
            "-": (), "rows": ("data",), "tokens": ("data",), "mask": ("data",) if self.packed else (),
            "positions": tensor if self.splits_positions else (),
            "all": tokens, "summed": tokens if is_row and self.splits_positions and self.one_each else ("data",),
            "heads": tensor if within(inside, self.plan.heads) else (),
            "features": tensor if beside else (),
            "in": tensor if is_row else (), "out": tensor if is_column else (),
            "vocabulary": tensor if self.splits_vocabulary and matches(inside, self.plan.vocabulary) else (),
        }  # fmt: skip

    def _unsaid(self, path: str, operator: Any, owner: _Owner) -> UnsupportedError:
        cell = type(owner.cell).__name__
        return UnsupportedError(
            f"{type(self.model).__name__} does not say how its operator {path} ({operator.name}) may be split",
            value=path, why=f"{cell}.operators has no entry {owner.name!r}",
            hint=f'add one to the class {cell}, with a word for each axis of each input, such as operators = '
            f'{{"{owner.name}": ("rows positions -",)}}; mf_core.nn.operators explains the words',
        )  # fmt: skip
