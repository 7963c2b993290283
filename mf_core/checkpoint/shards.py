"""Writing safetensors with one tensor in memory at a time, in shards with an index where they are many."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, WeightsError
from ..utils.files import atomic_path, write_json

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

#: Bytes in a shard unless said otherwise; what the hub's tools use.
SHARD_SIZE = 5 * 1024**3

#: numpy's name of a type -> what safetensors calls it; of those that are written.
KINDS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class LazyTensor:
    """A tensor whose values are made when they are asked for.

    Attributes:
        name: What it is called in the file.
        shape: Its shape.
        dtype: What numpy calls its type, ``"float32"``.
        read: Returns the values, of that shape and type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """The values' size in bytes."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


def check_dtype(dtype: str | None) -> None:
    """Raise ArgumentError for a type in which weights are not saved."""
    if dtype not in (None, "float32", "float16"):
        raise ArgumentError(f"dtype={dtype!r} is not one of None, 'float32', 'float16'", value=dtype)


def cast(array: np.ndarray, dtype: str, name: str, hint: str) -> np.ndarray:
    """Return an array in another type, itself where it has that; raise WeightsError where a number becomes infinite."""
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError as error:
        raise WeightsError(f"{name!r} holds numbers too large for {dtype}", value=name, hint=hint) from error


def write_shards(
    tensors: Sequence[LazyTensor],
    directory: Path,
    *,
    shard_size: int = SHARD_SIZE,
    on_tensor: Callable[[LazyTensor], None] | None = None,
) -> list[Path]:
    """Write tensors, in shards with an index when they exceed ``shard_size`` bytes.

    Args:
        tensors: Each is read once, in this order or nearly so.
        directory: Where to; made if need be. Files take their place only when whole.
        shard_size: Most bytes in a file; a tensor that is larger has a file of its own.
        on_tensor: Called after each tensor.

    Returns:
        The weights files written.

    Raises:
        ArgumentError: ``shard_size`` is out of range.
        WeightsError: A tensor is of a type that is not written.
    """
    if isinstance(shard_size, bool) or not isinstance(shard_size, int) or shard_size < 1:
        raise ArgumentError(f"shard_size={shard_size!r} is not a whole number of bytes", value=shard_size)
    shards = _split(tensors, shard_size)
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = WEIGHTS_FILE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with atomic_path(directory / file) as temporary:
            write_file(temporary, shard, on_tensor)
        weight_map.update(dict.fromkeys((tensor.name for tensor in shard), file))
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors)
        write_json(directory / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})
    files = list(dict.fromkeys(weight_map.values()))
    remove_stale(directory, set(files))
    return [directory / file for file in files]


def remove_stale(directory: Path, kept: set[str]) -> None:
    """Remove the weights files of a directory but those ``kept``, and the index that these have no need of.

    An earlier save in another number of shards leaves them, and readers must not find two sets of weights.
    """
    for path in directory.glob("model*.safetensors"):
        if path.name not in kept and (path.name == WEIGHTS_FILE or re.match(r"model-\d{5}-of-\d{5}\.", path.name)):
            path.unlink()
    if not kept or WEIGHTS_FILE in kept:
        (directory / INDEX_FILE).unlink(missing_ok=True)


def _split(tensors: Sequence[LazyTensor], limit: int) -> list[list[LazyTensor]]:
    shards: list[list[LazyTensor]] = [[]]
    used = 0
    for tensor in tensors:
        if shards[-1] and used + tensor.nbytes > limit:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += tensor.nbytes
    return shards


def file_header(tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> tuple[bytes, dict[str, int]]:
    """Return how a safetensors file of given tensors begins, and where in the file the values of each do.

    Args:
        tensors: Name -> shape and numpy's name of the type.

    Returns:
        The header's length in 8 bytes and the header in JSON; name -> offset, in the order of the file, in which values
        follow each other without gaps.

    Raises:
        WeightsError: A tensor is of a type that is not written.
    """
    for name, (_, dtype) in tensors.items():
        if dtype not in KINDS:
            raise WeightsError(f"{name!r} is {dtype}, which is not written", value=name)
    # Wide types first, so that all numbers lie on word boundaries.
    ordered = sorted(tensors.items(), key=lambda item: -np.dtype(item[1][1]).itemsize)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    places, place = {}, 0
    for name, (shape, dtype) in ordered:
        places[name], end = place, place + np.dtype(dtype).itemsize * math.prod(shape)
        header[name] = {"dtype": KINDS[dtype], "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: start + place for name, place in places.items()}


def write_file(
    path: Path, tensors: Sequence[LazyTensor], on_tensor: Callable[[LazyTensor], None] | None = None
) -> None:
    """Write one safetensors file, with one tensor in memory at a time; not atomically.

    Args:
        path: The file.
        tensors: Each is read once.
        on_tensor: Called after each tensor.

    Raises:
        WeightsError: A tensor is of a type that is not written, or not what its description says.
    """
    named = {tensor.name: tensor for tensor in tensors}
    start, places = file_header({tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors})
    with path.open("wb") as file:
        file.write(start)
        for tensor in map(named.__getitem__, places):
            array = tensor.read()
            if array.shape != tensor.shape or array.dtype.name != tensor.dtype:
                raise WeightsError(
                    f"{tensor.name!r} is {array.dtype} {array.shape}, not {tensor.dtype} {tensor.shape} as was said",
                    value=tensor.name,
                )
            file.write(bytes_of(array))
            del array
            if on_tensor is not None:
                on_tensor(tensor)


def bytes_of(array: np.ndarray) -> memoryview:
    """Return an array's values as a file holds them."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
