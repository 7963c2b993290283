"""Reading safetensors: headers that are validated, tensors that are mapped, and the files that make up a checkpoint."""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileMissingError, IntegrityError, UnsupportedError, WeightsError, printable, shown
from ..hub import Source, open_source
from ..hub.source import stays_inside
from ..utils.files import ADAPTER_FILE, ADAPTER_WEIGHTS_FILE, INDEX_LIMIT, read_json
from .shards import INDEX_FILE, KINDS, WEIGHTS_FILE

#: What safetensors calls a type -> bits of an element.
_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
_TYPES = {kind: dtype for dtype, kind in KINDS.items()}

#: Most bytes of a header, by the format's definition; most axes of a tensor, by numpy's.
_HEADER_LIMIT, _MOST_AXES = 100_000_000, 32

#: What other libraries call their weights; named in errors, never opened, since these formats can run code.
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        name: What it is called there.
        shape: Its shape.
        kind: What safetensors calls its type, ``"F32"``.
        start: Offset of its values in the file, in bytes.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    start: int

    @property
    def dtype(self) -> str:
        """numpy's name of the type of :meth:`read`'s array; raise WeightsError if elements of it are not read."""
        if self.kind not in (*_TYPES, "BF16"):
            raise WeightsError(
                f"{self.name!r} in {self.path} is of the type {self.kind}, which is not read", value=self.name,
                hint=f"save it in one of: {', '.join(_TYPES)}, BF16",
            )  # fmt: skip
        return _TYPES.get(self.kind, "float32")

    @property
    def nbytes(self) -> int:
        """Bytes of its values in the file."""
        return _BITS[self.kind] * math.prod(self.shape) // 8

    def raw(self, mapped: np.ndarray | None = None) -> np.ndarray:
        """Return the values as the file has them, mapped copy-on-write; bfloat16 as its bits, in uint16.

        Args:
            mapped: What :func:`map_file` gave for the file; None maps this tensor alone.
        """
        own = "uint16" if self.kind == "BF16" else self.dtype
        if not self.nbytes:  # nothing cannot be mapped
            return np.empty(self.shape, own)
        if mapped is None:
            data = np.asarray(np.memmap(self.path, np.uint8, "c", self.start, (self.nbytes,)))
        else:
            data = mapped[self.start : self.start + self.nbytes]
        return np.require(data.view(own), requirements="A").reshape(self.shape)  # a header may be of any length

    def read(self) -> np.ndarray:
        """Return the values, mapped copy-on-write; bfloat16 as float32, which holds the same numbers."""
        return widen(self.raw(), self.kind)


def widen(array: np.ndarray, kind: str) -> np.ndarray:
    """Return what :meth:`StoredTensor.raw` gave, bfloat16 as float32."""
    return (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        tensors: The tensors by name, in the file's order of them.
        metadata: The texts under ``__metadata__``.
        length: Bytes before the first tensor's values.
    """

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    length: int = 8


def read_header(path: Path) -> Header:
    """Return the header of a safetensors file; the tensors' values are not read.

    All of it is checked: lengths, types, shapes, and that the values fill the rest of the file without gaps.

    Raises:
        FileMissingError: There is no such file.
        IntegrityError: It is truncated or damaged, or no safetensors file.
    """
    if not os.path.isfile(path):
        raise FileMissingError(f"there is no file {str(path)!r}", value=str(path))
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER_LIMIT):
                raise ValueError(f"a file of {size} bytes cannot have a header of {length}")
            text = file.read(length).decode("utf-8")
        entries = json.loads(text, object_pairs_hook=_without_duplicates)
        if not isinstance(entries, dict):
            raise ValueError("its header is no JSON object")
        metadata = entries.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its __metadata__ is no mapping of texts")
        tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in entries.items()}
        _check_layout(tensors.values(), 8 + length, size)
    except (ValueError, OSError, RecursionError) as error:
        raise IntegrityError(
            f"{path} is not a whole safetensors file", value=str(path), why=printable(error, 300),
            hint="fetch, copy or save it again, or use another checkpoint",
        ) from error  # fmt: skip
    return Header(tensors, metadata, 8 + length)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is in its header twice")
    return found


def _tensor(path: Path, name: str, entry: Any, base: int) -> StoredTensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {shown(name)} is not a dtype, a shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _BITS:
        raise ValueError(f"{shown(name)} is of the unknown type {shown(kind)}")
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(map(_is_count, shape)):
        raise ValueError(f"{shown(name)} has the shape {shown(shape)}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise ValueError(f"{shown(name)} has the offsets {shown(offsets)}")
    if _BITS[kind] * math.prod(shape) != 8 * (offsets[1] - offsets[0]):
        raise ValueError(f"{shown(name)}, {kind} {shape}, does not take the bytes {offsets[0]} to {offsets[1]}")
    return StoredTensor(path, name, tuple(shape), kind, base + offsets[0])


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 60


def _check_layout(tensors: Any, start: int, size: int) -> None:
    """Raise ValueError unless the tensors' values fill a file from ``start`` to its end, without gap or overlap."""
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.nbytes)):
        if tensor.start != start:
            raise ValueError(f"the values of {shown(tensor.name)} begin at byte {tensor.start}, not at {start}")
        start += tensor.nbytes
    if start != size:
        raise ValueError(f"its tensors end at byte {start}, and the file at {size}")


def map_file(path: Path) -> np.ndarray:
    """Return a file's bytes, mapped copy-on-write, in large pages if the system has them: those are read faster.

    The parts of the file that are in memory already stay in the pages that they were put into.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the kernel was built without
            mapped.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapped, np.uint8)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name, in its order; see :func:`read_header`."""
    return dict(read_header(path).tensors)


def weight_files(source: Source) -> list[Path]:
    """Return the safetensors files of a checkpoint: the single one, or all that its index names.

    Raises:
        FileMissingError: There are none.
        IntegrityError: The index is damaged.
    """
    single = source.path(WEIGHTS_FILE, required=False)
    if single is not None:
        return [single]
    index = source.path(INDEX_FILE, required=False)
    if index is not None:
        return [source.path(name) for name in dict.fromkeys(read_weight_map(index).values())]
    pickled = next((name for name in _PICKLED if source.path(name, required=False) is not None), None)
    raise FileMissingError(
        f"{source.location} has no {WEIGHTS_FILE} and no {INDEX_FILE}", value=source.location,
        why=f"it has {pickled}, a pickle, which can run code when opened" if pickled else None,
        hint="convert it with save_pretrained(…, safe_serialization=True) of the library that wrote it"
        if pickled else "random weights come only from from_config(config)",
    )  # fmt: skip


def stored_weights(source: Source) -> dict[str, StoredTensor]:
    """Return the weights of a checkpoint by name: of the single file, or of all that its index names.

    Raises:
        FileMissingError: There are none, or a file that the index names is missing.
        UnsupportedError: It holds adapters alone.
        IntegrityError: A file is damaged, lacks a tensor that the index says it has, or has one of another file's.
    """
    is_adapter = source.path(ADAPTER_FILE, required=False) is not None
    if is_adapter and not any(source.path(name, required=False) for name in (WEIGHTS_FILE, INDEX_FILE)):
        raise UnsupportedError(
            f"{source.location!r} holds adapters, which no layout splits", value=source.location,
            hint="name the folder of the model that they are for",
        )  # fmt: skip
    index = None if source.path(WEIGHTS_FILE, required=False) else source.path(INDEX_FILE, required=False)
    said = {} if index is None else {name: source.path(file) for name, file in read_weight_map(index).items()}
    found: dict[str, StoredTensor] = {}
    for path in weight_files(source):
        found.update({name: tensor for name, tensor in read_header(path).tensors.items()
                      if said.get(name, path) == path})  # fmt: skip
    lost = next((name for name in said if name not in found), None)
    if lost is not None:
        raise IntegrityError(
            f"{said[lost]} lacks {shown(lost)}, which {INDEX_FILE} says it has", value=lost,
            hint="fetch, copy or save the model again",
        )  # fmt: skip
    return found


def adapter_weights(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of the adapters in a local folder; see :func:`read_header`."""
    return stored_tensors(folder / ADAPTER_WEIGHTS_FILE)


def weights_of_folder(folder: Path) -> dict[str, StoredTensor]:
    """Return the weights in a local folder; see :func:`stored_weights`."""
    if not folder.is_dir():
        raise FileMissingError(f"{str(folder)!r} cannot be read", value=str(folder), why="there is no such folder")
    return stored_weights(open_source(str(folder)))


def read_weight_map(path: Path) -> dict[str, str]:
    """Return the weight map of an index: tensor -> file.

    Raises:
        IntegrityError: It is damaged, or names files outside of the checkpoint's folder.
    """
    files, why = None, "it has no weight_map that names files"
    try:
        index = read_json(path, INDEX_LIMIT)
        files = index.get("weight_map") if isinstance(index, dict) else None
    except IntegrityError as error:
        why = error.why or error.what
    if isinstance(files, dict) and files:
        if all(isinstance(file, str) and file and stays_inside(file) for file in files.values()):
            return files
        why = "its weight_map names something else than files of the folder: do not trust that checkpoint"
    raise IntegrityError(f"{path} is not an index of shards", value=str(path), why=why, hint="fetch or save it again")
