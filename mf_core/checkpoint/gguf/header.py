"""The header of a GGUF file: metadata and the table of tensors, checked against the file's size.

Source: the GGUF specification, versions 2 and 3 (docs/gguf.md of ggml). The ``gguf`` library reads headers too, but
takes seconds for a vocabulary of 50,000 tokens and trusts the counts in the file; here it is used for the format's
types (:mod:`mf_core.checkpoint.gguf.quantization`).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from ...errors import FileMissingError, IntegrityError, UnsupportedError
from .quantization import TensorKind, dequantize, kind_of

MAGIC: Final = b"GGUF"
#: The largest header that is read: the largest vocabularies of published models take some 20 MB.
_HEADER_LIMIT: Final = 256 * 1024**2
_MAX_DIMENSIONS: Final = 4
#: Type number of a metadata value -> its format for struct; 8 is a string and 9 an array.
_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9
_UINT64: Final = struct.Struct("<Q")


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a GGUF file.

    Attributes:
        name: Its name in the file, ``"blk.0.attn_q.weight"``.
        shape: As numpy has it, outermost axis first; ``(out, in)`` of a linear layer.
        kind: How its numbers are stored.
        start: Offset of its first byte in the file.
        path: The file.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorKind
    start: int
    path: Path

    @property
    def nbytes(self) -> int:
        """Its size in the file, in bytes."""
        return self.kind.nbytes(self.shape)

    def raw(self) -> np.ndarray:
        """Return its bytes, mapped: ``(rows, bytes of a row)`` uint8."""
        data = np.memmap(self.path, np.uint8, "c", self.start, (self.nbytes,))
        return data.view(np.ndarray).reshape(-1, self.nbytes // math.prod(self.shape[:-1]))

    def read(self) -> np.ndarray:
        """Return its values; see :func:`mf_core.checkpoint.gguf.quantization.dequantize`."""
        return dequantize(self.raw().reshape(-1), self.kind, self.shape)


@dataclass(frozen=True)
class GGUFHeader:
    """The header of a GGUF file: metadata and tensor table.

    Attributes:
        path: The file.
        metadata: Key -> value: numbers, strings, or lists of them.
        tensors: Name -> tensor.
        digest_bytes: How many bytes the header takes.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    digest_bytes: int

    @property
    def architecture(self) -> str:
        """The value of ``general.architecture``: ``"llama"``."""
        value = self.metadata.get("general.architecture")
        if not isinstance(value, str):
            raise IntegrityError(f"{self.path} does not say its architecture", value=value)
        return value


def read_header(path: Path) -> GGUFHeader:
    """Read and check the header of a GGUF file; its data stays unread.

    Raises:
        FileMissingError: There is no such file.
        IntegrityError: It is no GGUF file, is cut off, or its table of tensors does not fit the file.
        UnsupportedError: It is of version 1, big-endian, or has tensors of an unknown type.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(min(size, _HEADER_LIMIT))
    except FileNotFoundError as error:
        raise FileMissingError(f"there is no file {str(path)!r}", value=str(path)) from error
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read", value=str(path), why=str(error)) from error
    return _Reader(path, data, size).header()


class _Reader:
    def __init__(self, path: Path, data: bytes, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0

    def header(self) -> GGUFHeader:
        if self.take(4) != MAGIC:
            what = f"{self.path} is not a GGUF file"
            raise IntegrityError(what, value=str(self.path), why="it has another magic number")
        version = self.scalar("<I")
        if version not in (2, 3):
            self._refuse_version(version)
        tensor_count, pair_count = self.uint64(), self.uint64()
        metadata: dict[str, Any] = {}
        for _ in self.count(pair_count, 13):  # a key of no characters, a type and a byte
            key = self.string()
            if key in metadata:
                self.fail(f"it has the key {key!r} twice")
            metadata[key] = self.value(self.scalar("<I"))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 2**20:
            self.fail(f"general.alignment is {alignment!r}, not a power of two")
        entries = [self.entry() for _ in self.count(tensor_count, 24)]
        start = -(-self.at // alignment) * alignment
        return GGUFHeader(self.path, metadata, self.placed(entries, start, alignment), self.at)

    def entry(self) -> tuple[str, tuple[int, ...], TensorKind, int]:
        name, dimensions = self.string(), self.scalar("<I")
        if dimensions > _MAX_DIMENSIONS:
            self.fail(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(reversed([self.uint64() for _ in range(dimensions)]))
        number, offset = self.scalar("<I"), self.uint64()
        kind = kind_of(number)
        if kind is None:
            raise UnsupportedError(
                f"the tensor {name!r} in {self.path} is of the GGUF type {number}, which is not read", value=number,
                hint="the file was made by a newer version of the format; ask for Q8_0, Q4_K or F16",
            )
        if math.prod(shape) == 0 or (shape and shape[-1] % kind.block):
            self.fail(f"the tensor {name!r} of shape {shape} is not of whole blocks of {kind.block} ({kind.name})")
        return name, shape, kind, offset

    def placed(
        self, entries: list[tuple[str, tuple[int, ...], TensorKind, int]], start: int, alignment: int
    ) -> dict[str, StoredTensor]:
        tensors: dict[str, StoredTensor] = {}
        for name, shape, kind, offset in entries:
            tensor = StoredTensor(name, shape, kind, start + offset, self.path)
            if name in tensors:
                self.fail(f"it has the tensor {name!r} twice")
            if offset % alignment:
                self.fail(f"the tensor {name!r} is not aligned to {alignment} bytes")
            if tensor.start + tensor.nbytes > self.size:
                self.fail(f"the tensor {name!r} ends at byte {tensor.start + tensor.nbytes} of {self.size}")
            tensors[name] = tensor
        ordered = sorted(tensors.values(), key=lambda tensor: tensor.start)
        for one, other in itertools.pairwise(ordered):
            if one.start + one.nbytes > other.start:
                self.fail(f"the tensors {one.name!r} and {other.name!r} overlap")
        return tensors

    # Values ----------------------------------------------------------------------------------------------------------

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            self.fail(f"a value is of the unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def array(self) -> list[Any]:
        kind, length = self.scalar("<I"), self.uint64()
        if kind == _STRING:
            return [self.string() for _ in self.count(length, 8)]
        if kind not in _SCALARS:
            self.fail(f"an array is of the type {kind}, which arrays are not of")
        layout = _SCALARS[kind]
        self.count(length, struct.calcsize(layout))
        found = struct.unpack_from(f"<{length}{layout[1]}", self.data, self.at)
        self.at += struct.calcsize(layout) * length
        return list(found)

    def string(self) -> str:
        raw = self.take(self.uint64())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("utf-8", "replace")  # tokens of some published vocabularies are no UTF-8

    def scalar(self, layout: str) -> Any:
        size = struct.calcsize(layout)
        return struct.unpack(layout, self.take(size))[0]

    def uint64(self) -> int:
        if self.at + 8 > len(self.data):
            self.cut_off()
        (value,) = _UINT64.unpack_from(self.data, self.at)
        self.at += 8
        return int(value)

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            self.cut_off()
        self.at += count
        return self.data[self.at - count : self.at]

    def count(self, items: int, least: int) -> range:
        """Return a range of so many items, of ``least`` bytes each, once it is known that the file can hold them."""
        if items * least > len(self.data) - self.at:
            self.cut_off()
        return range(items)

    # Errors ----------------------------------------------------------------------------------------------------------

    def cut_off(self) -> NoReturn:
        if self.size > len(self.data):
            self.fail(f"its header is longer than {_HEADER_LIMIT >> 20} MiB")
        self.fail(f"the file ends, at byte {self.size}, within what it says its header holds")

    def fail(self, why: str) -> NoReturn:
        raise IntegrityError(
            f"{self.path} is not a whole GGUF file", value=str(self.path), why=why, hint="fetch it again"
        )

    def _refuse_version(self, version: int) -> NoReturn:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        what = f"{self.path} is a big-endian GGUF file" if swapped in (1, 2, 3) else (
            f"{self.path} is a GGUF file of version {version}"
        )  # fmt: skip
        raise UnsupportedError(what, value=version, why="little-endian files of the versions 2 and 3 are read")
