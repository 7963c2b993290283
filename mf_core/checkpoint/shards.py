"""Writing safetensors: one tensor in memory at a time, in shards with an index, each file with its own digest.

A file's digest is the SHA-256 of its bytes with 64 zeros instead of the digest itself, which is in the header under
``__metadata__``; other readers ignore it. An index repeats the digests of its files.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import ArgumentError, WeightsError
from ..utils.commit import replace_files
from ..utils.files import atomic_path, write_json

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
#: Names of all files that hold a model's weights, or say where they are: readers must not find those of two models.
WEIGHT_PATTERNS = (WEIGHTS_FILE, "model-[0-9][0-9][0-9][0-9][0-9]-of-*.safetensors", INDEX_FILE)

#: The key of a file's digest in its ``__metadata__``, and of the files' digests in an index's ``metadata``.
DIGEST_KEY = "mf_sha256"
#: What stands for the digest while it is computed.
NO_DIGEST = "0" * 64
#: How a header begins up to the digest, and the digest's offset in the file.
_HEADER_START = '{"__metadata__":{"format":"pt","' + DIGEST_KEY + '":"'
DIGEST_OFFSET = 8 + len(_HEADER_START)

#: Bytes in a shard unless said otherwise; what the hub's tools use.
SHARD_SIZE = 5 * 1024**3

#: numpy's name of a type -> what safetensors calls it; of those that are written.
KINDS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
#: Types that weights are saved in. numpy has no bfloat16: its arrays are the bits, in uint16.
WEIGHT_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class LazyTensor:
    """A tensor whose values are computed on access.

    Attributes:
        name: What it is called in the file.
        shape: Its shape.
        dtype: What numpy calls its type, ``"float32"``; or ``"bfloat16"``.
        read: Returns the values, of that shape and type; of bfloat16 the bits, in uint16.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """The values' size in bytes."""
        return _item_size(self.dtype) * math.prod(self.shape)


def check_dtype(dtype: str | None) -> None:
    """Raise ArgumentError for a type in which weights are not saved."""
    if dtype is not None and dtype not in WEIGHT_DTYPES:
        raise ArgumentError(f"dtype={dtype!r} is not one of None, {', '.join(map(repr, WEIGHT_DTYPES))}", value=dtype)


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def cast(array: np.ndarray, dtype: str, name: str, hint: str) -> np.ndarray:
    """Return an array in another type, itself where it has that; raise WeightsError where a number becomes infinite.

    Of bfloat16, whose numbers are the nearest ones, the bits are returned, in uint16.
    """
    try:
        if dtype == "bfloat16":
            return bfloat16_bits(array)
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError as error:
        raise WeightsError(f"{name!r} holds numbers too large for {dtype}", value=name, hint=hint) from error


def bfloat16_bits(array: np.ndarray) -> np.ndarray:
    """Return the nearest bfloat16 numbers as their bits, uint16: ties to even, NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    rounded[np.isnan(array)] = 0x7FC0
    return rounded


def holds_exactly(dtype: str, array: np.ndarray) -> bool:
    """Return whether ``"float16"`` or ``"bfloat16"`` has all the numbers of an fp32 array."""
    if dtype == "bfloat16":
        return not (np.ascontiguousarray(array, np.float32).view(np.uint32) & 0xFFFF).any()
    with np.errstate(over="ignore"):
        return np.array_equal(array.astype(dtype), array, equal_nan=True)


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
        directory: Where to; created if missing. The weights that are there are replaced in one step.
        shard_size: Most bytes in a file; a tensor that is larger has its own file.
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
    digests: dict[str, str] = {}
    with replace_files(directory, WEIGHT_PATTERNS) as staging:
        for number, shard in enumerate(shards, 1):
            file = WEIGHTS_FILE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            digests[file] = write_file(staging / file, shard, on_tensor)
            weight_map.update(dict.fromkeys((tensor.name for tensor in shard), file))
        if len(shards) > 1:
            metadata = {"total_size": sum(tensor.nbytes for tensor in tensors), DIGEST_KEY: digests}
            write_json(staging / INDEX_FILE, {"metadata": metadata, "weight_map": weight_map})
    return [directory / file for file in digests]


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
    """Return the header of a safetensors file of given tensors, and the offset of each tensor's values.

    Args:
        tensors: Name -> shape and numpy's name of the type, or ``"bfloat16"``.

    Returns:
        The header's length in 8 bytes and the header in JSON; name -> offset, in the order of the file, in which values
        follow each other without gaps.

    Raises:
        WeightsError: A tensor is of a type that is not written.
    """
    kinds = {**KINDS, "bfloat16": "BF16"}
    for name, (_, dtype) in tensors.items():
        if dtype not in kinds:
            raise WeightsError(f"{name!r} is {dtype}, which is not written", value=name)
    # Wide types first, so that all numbers lie on word boundaries.
    ordered = sorted(tensors.items(), key=lambda item: -_item_size(item[1][1]))
    header: dict[str, object] = {"__metadata__": {"format": "pt", DIGEST_KEY: NO_DIGEST}}
    offsets, offset = {}, 0
    for name, (shape, dtype) in ordered:
        offsets[name], end = offset, offset + _item_size(dtype) * math.prod(shape)
        header[name] = {"dtype": kinds[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: start + offset for name, offset in offsets.items()}


def write_file(
    path: Path, tensors: Sequence[LazyTensor], on_tensor: Callable[[LazyTensor], None] | None = None
) -> str:
    """Write one safetensors file, with one tensor in memory at a time; neither synced nor atomically.

    Args:
        path: The file.
        tensors: Each is read once.
        on_tensor: Called after each tensor.

    Returns:
        The file's digest.

    Raises:
        WeightsError: A tensor is of a type that is not written, or not what its description says.
    """
    named = {tensor.name: tensor for tensor in tensors}
    start, offsets = file_header({tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors})
    digest = hashlib.sha256(start)
    with path.open("wb") as file:
        file.write(start)
        for tensor in map(named.__getitem__, offsets):
            array = tensor.read()
            own = "uint16" if tensor.dtype == "bfloat16" else tensor.dtype
            if array.shape != tensor.shape or array.dtype.name != own:
                raise WeightsError(
                    f"{tensor.name!r} is {array.dtype} {array.shape}, not {tensor.dtype} {tensor.shape} as was said",
                    value=tensor.name,
                )
            data = bytes_of(array)
            digest.update(data)
            file.write(data)
            del array, data
            if on_tensor is not None:
                on_tensor(tensor)
        return _put_digest(file, digest.hexdigest())


def add_digest(path: Path) -> str:
    """Compute the digest of a file that :func:`file_header` began, write it into the header, and return it."""
    with path.open("r+b") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return _put_digest(file, digest.hexdigest())


def _put_digest(file: BinaryIO, digest: str) -> str:
    file.seek(DIGEST_OFFSET)
    file.write(digest.encode())
    return digest


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """Write arrays as one safetensors file, atomically; return its digest."""
    lazy = [LazyTensor(name, array.shape, array.dtype.name, lambda array=array: array)  # type: ignore[misc]
            for name, array in tensors.items()]  # fmt: skip
    with atomic_path(path) as temporary:
        return write_file(temporary, lazy)


def bytes_of(array: np.ndarray) -> memoryview:
    """Return an array's values as a file has them."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
