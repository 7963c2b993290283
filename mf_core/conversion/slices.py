"""Joining tensors that MindSpore's parallel training sliced into one file per device.

A strategy file says for each parameter how: the devices are an array (``dev_matrix``, such as 64 x 8, the last axis
counted fastest), and each axis of the tensor lies along one axis of that array, counted from its end, or along none
(``tensor_map``). Devices that would then hold the same slice may each hold a part of it instead: its first axis is cut
once more (``opt_weight_shard_size``, the optimizer's parallelism), the parts in the devices' order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import FileMissingError, IntegrityError, UnsupportedError, WeightsError
from .converter import SourceTensor
from .mindspore_file import read_mindspore_file
from .wire import Damaged, Span, fields, numbers, text


@dataclass(frozen=True)
class SliceLayout:
    """How a parameter is cut.

    Attributes:
        devices: The array of devices.
        axes: For each axis of the tensor, the axis of ``devices`` from its end along which it is cut; -1: none.
        parts: Into how many parts the first axis of a slice is cut once more; 1: it is not.
        problem: Why the slices cannot be put together here, if they cannot.
    """

    devices: tuple[int, ...]
    axes: tuple[int, ...]
    parts: int = 1
    problem: str = ""


@lru_cache(maxsize=256)
def slice_offsets(
    layout: SliceLayout, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, tuple[int, ...]], ...]]:
    """Return the shape of a whole tensor, and the devices whose slices fill it, each with where its slice begins.

    Args:
        layout: How it is cut; without a ``problem``.
        shape: Of the slice that a device holds.
    """
    devices, parts = layout.devices, layout.parts
    own = [None if axis < 0 else len(devices) - 1 - axis for axis in layout.axes]
    others = [axis for axis in range(len(devices)) if axis not in own]
    whole = [size * (1 if axis is None else devices[axis]) for size, axis in zip(shape, own, strict=True)]
    if parts > 1:
        whole[0] *= parts
    first: dict[tuple[int, ...], int] = {}
    for rank in range(math.prod(devices)):
        at = [int(index) for index in np.unravel_index(rank, devices)]
        begin = [size * (0 if axis is None else at[axis]) for size, axis in zip(shape, own, strict=True)]
        if parts > 1:
            number = 0  # of this device among those that would hold the same slice
            for axis in others:
                number = number * devices[axis] + at[axis]
            begin[0] = begin[0] * parts + number % parts * shape[0]
        first.setdefault(tuple(begin), rank)
    return tuple(whole), tuple((rank, begin) for begin, rank in first.items())


def read_layouts(path: Path) -> dict[str, SliceLayout]:
    """Return the layouts of a strategy file (``ParallelStrategyMap``) by the parameters' names.

    Raises:
        IntegrityError: It is no strategy file, or cut off.
        UnsupportedError: The model is cut into the stages of a pipeline.
    """
    found = {}
    with path.open("rb") as file:
        try:
            for item in _grouped(file, Span(0, file.seek(0, 2))).get(3, []):
                fault = Damaged(file.tell(), "a parameter without its name or layout")
                parts = _grouped(file, _span(item, fault))
                if 1 not in parts or 2 not in parts:
                    raise fault
                found[text(file, parts[1][-1])] = _layout(file, _grouped(file, _span(parts[2][-1], fault)))
        except Damaged as error:
            raise IntegrityError(
                f"{path} is cut off, or no strategy file", value=str(path), why=str(error), hint="fetch it again"
            ) from error
    if not found:
        raise IntegrityError(f"{path} says of no parameter how it is cut", value=str(path))
    stages = [name for name in found if re.match(r"\d+-", name)]
    if stages:
        raise UnsupportedError(f"{path} is of a pipeline of stages ({stages[0]!r}), which are not put together here")
    return found


def _grouped(file: BinaryIO, span: Span) -> dict[int, list[int | Span]]:
    """Return a message's values by the fields' numbers."""
    found: dict[int, list[int | Span]] = {}
    for number, value in fields(file, span):
        found.setdefault(number, []).append(value)
    return found


def _span(value: int | Span, fault: Damaged) -> Span:
    if not isinstance(value, Span):
        raise fault
    return value


def _layout(file: BinaryIO, parts: dict[int, list[int | Span]]) -> SliceLayout:
    def rows(field: int) -> list[list[int]]:
        """Return the lists of numbers, each its own message, that are not empty."""
        spans = [_span(value, Damaged(file.tell(), "a list of numbers is expected")) for value in parts.get(field, [])]
        lists = [[n for value in _grouped(file, span).get(1, []) for n in numbers(file, value)] for span in spans]
        return [row for row in lists if row]

    def number(field: int) -> int:
        value = parts.get(field, [0])[-1]
        return value if isinstance(value, int) else 0

    devices, axes = rows(1), rows(2)
    if len(devices) != 1 or len(axes) > 1:
        return SliceLayout((), (), problem="an axis of it is cut along several axes of devices")
    if rows(3) or rows(4) or number(5):
        return SliceLayout((), (), problem="it is cut into uneven slices")
    shape, map_ = tuple(devices[0]), tuple(axes[0]) if axes else ()
    own = [axis for axis in map_ if axis >= 0]
    if min(shape) < 1 or max(own, default=0) >= len(shape) or len(set(own)) < len(own):
        return SliceLayout((), (), problem=f"{map_} are no axes of devices {shape}")
    return _with_parts(shape, map_, step=number(6), size=number(7))


def _with_parts(devices: tuple[int, ...], axes: tuple[int, ...], *, step: int, size: int) -> SliceLayout:
    """Return a layout with ``size`` parts (-1: as many as can be) of each slice, on devices that are ``step`` apart."""
    used = {len(devices) - 1 - axis for axis in axes if axis >= 0}
    others = [axis for axis in range(len(devices)) if axis not in used and devices[axis] > 1]
    copies = math.prod(devices[axis] for axis in others)
    parts = copies if size == -1 else size
    if step == 0 or parts in (0, 1):
        return SliceLayout(devices, axes)
    if copies % parts or step != math.prod(devices[others[-1] + 1 :]):
        problem = f"{parts} parts on each {step}th of the devices {devices} do not go with the axes {axes}"
        return SliceLayout(devices, axes, problem=problem)
    return SliceLayout(devices, axes, parts)


class SlicedCheckpoint:
    """A checkpoint in a file for each device.

    Args:
        files: Number of the device -> its file.
        strategy: The strategy file.

    Raises:
        IntegrityError: A file is cut off or damaged.
        WeightsError: The files hold tensors of different names.
    """

    def __init__(self, files: Mapping[int, Path], strategy: Path) -> None:
        self._files, self._strategy = dict(sorted(files.items())), strategy
        self._layouts = read_layouts(strategy)
        self._held = {rank: read_mindspore_file(path) for rank, path in self._files.items()}
        self._first = next(iter(self._files))
        for rank, held in self._held.items():
            other = sorted(held.keys() ^ self._held[self._first].keys())
            if other:
                one, two = self._files[self._first].name, self._files[rank].name
                raise WeightsError(
                    f"of {one} and {two} only one holds {other[0]!r}", value=other,
                    hint="check that all slices are of one checkpoint",
                )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The tensors' names."""
        return list(self._held[self._first])

    def tensor(self, name: str) -> SourceTensor:
        """Return a whole tensor, whose slices are read when its values are asked for.

        Raises:
            WeightsError: The strategy file does not say how it is cut, or the slices are not of one shape.
            UnsupportedError: It is cut in a way that is not put together here.
            FileMissingError: A slice is missing.
        """
        layout = self._layouts.get(name)
        one = self._held[self._first][name]
        if layout is None:
            raise WeightsError(f"{self._strategy} does not say how {name!r} is cut", value=name)
        if layout.problem:
            raise UnsupportedError(f"the slices of {name!r} are not put together here", value=name, why=layout.problem)
        if len(layout.axes) != len(one.shape):
            raise WeightsError(
                f"{one.origin} is {one.shape}; {self._strategy.name} has it with {len(layout.axes)} axes", value=name
            )
        whole, found = slice_offsets(layout, one.shape)
        pieces = [(begin, self._slice(rank, name, one)) for rank, begin in found]
        first, last = self._files[self._first].name, self._files[max(self._files)].name

        def read() -> np.ndarray:
            array = np.empty(whole, one.dtype)
            for begin, piece in pieces:
                where = tuple(slice(b, b + size) for b, size in zip(begin, piece.shape, strict=True))
                array[where] = piece.read()
            return array

        return SourceTensor(name, whole, one.dtype, f"{name!r} of {first} to {last}", read)

    def _slice(self, rank: int, name: str, like: SourceTensor) -> SourceTensor:
        if rank not in self._files:
            path = self._files[self._first]
            missing = re.sub(r"\d+(?=\.ckpt$)", str(rank), path.name)
            raise FileMissingError(
                f"{path.parent} has no {missing}, which holds a slice of {name!r}", value=missing,
                hint="put the files of all devices into the folder",
            )  # fmt: skip
        piece = self._held[rank][name]
        if (piece.shape, piece.dtype) != (like.shape, like.dtype):
            raise WeightsError(
                f"{piece.origin} is {piece.dtype} {piece.shape}; {like.origin} is {like.dtype} {like.shape}",
                value=name, hint="check that all slices are of one checkpoint",
            )  # fmt: skip
        return piece
