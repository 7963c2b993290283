"""MindSpore's checkpoint files (``.ckpt``), a tensor at a time: the content stays on disk until it is read.

A file is a protocol buffer ``Checkpoint {repeated Value {tag, TensorProto {dims, tensor_type, tensor_content}}}``. A
large tensor comes as several values of one tag, whose contents follow one another. A file may end with ``crc_num`` and
the CRC-32 of all before it, in ten bytes.
"""

from __future__ import annotations

import math
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import IntegrityError, UnsupportedError
from .converter import SourceTensor
from .wire import Damaged, Span, fields, numbers, text, varint

_BYTES = {
    "Float64": 8, "Int64": 8, "UInt64": 8, "Float32": 4, "Int32": 4, "UInt32": 4, "Float16": 2, "BFloat16": 2,
    "Int16": 2, "UInt16": 2, "Int8": 1, "UInt8": 1, "Bool": 1,
}  # fmt: skip
#: Types that weights have -> numpy's name of the type they are read in.
_DTYPES = {"Float32": "float32", "Float16": "float16", "BFloat16": "float32"}
#: Names of the key-value cache, of optimizer states and of counters, which MindSpore and MindFormers save with weights.
_TRAINING_STATE = re.compile(
    r"(.+\.)?(key_past|value_past)\Z|(adam_[mv]|moment[s12]|accu_grads)\."
    r"|(global_step|learning_rate|beta[12]_power|scale_sense|loss_scale|loss_scale_value|data_start_index|epoch_num"
    r"|step_num|current_iterator_step|last_overflow_iterator_step|(has_trained|cur)_(epoch|step)(_num)?)\Z"
)
_CRC = b"crc_num"
_CRC_SIZE = len(_CRC) + 10
_BLOCK = 1 << 22


def is_training_state(name: str) -> bool:
    """Return whether a tensor of a MindSpore checkpoint is no weight, but a cache or the state of a training run."""
    return _TRAINING_STATE.match(name) is not None


def is_mindspore_file(path: Path) -> bool:
    """Return whether a file begins as MindSpore's checkpoints do."""
    try:
        with path.open("rb") as file:
            if file.read(1) != b"\n":
                return False
            varint(file)
            if file.read(1) != b"\n":
                return False
            length = varint(file)
            return text(file, Span(file.tell(), length)).isprintable()
    except (OSError, Damaged):
        return False


def read_mindspore_file(path: Path) -> dict[str, SourceTensor]:
    """Return the tensors of a checkpoint file by name; their values are read when they are asked for.

    bfloat16 is read as float32.

    Raises:
        IntegrityError: The file is cut off or damaged, or its checksum is another.
        UnsupportedError: It holds hash tables.
    """
    found: dict[str, _Entry] = {}
    last = None
    with path.open("rb") as file:
        size = _content_size(file, path)
        try:
            for offset, span in _values(file, size):
                tag, dims, kind, content = _value(file, span)
                if content.end > size:
                    raise Damaged(size, f"the tensor {tag!r} is cut off: it should end at byte {content.end}")
                if tag not in found:
                    found[tag] = _Entry(tag, dims, kind, [])
                elif tag != last:
                    raise Damaged(offset, f"there is a second tensor {tag!r}")
                found[tag].spans.append(content)
                last = tag
        except Damaged as fault:
            raise IntegrityError(
                f"{path} is cut off, damaged, or no MindSpore checkpoint", value=str(path),
                why=f"{fault}" + (f", after {last!r}" if last else ""), hint="fetch or copy it again",
            ) from fault  # fmt: skip
    return {name: entry.tensor(path) for name, entry in found.items()}


def _content_size(file: BinaryIO, path: Path) -> int:
    """Return where the values end; check the sum that follows them, if one does."""
    size = file.seek(0, 2)
    if size < _CRC_SIZE:
        return size
    file.seek(size - _CRC_SIZE)
    tail = file.read()
    if not tail.startswith(_CRC):
        return size
    file.seek(0)
    left, checksum = size - _CRC_SIZE, 0
    while left and (block := file.read(min(left, _BLOCK))):
        checksum = zlib.crc32(block, checksum)
        left -= len(block)
    if checksum != int.from_bytes(tail[len(_CRC) :], "big"):
        raise IntegrityError(
            f"{path} is damaged", value=str(path), why="its checksum is not that of its contents",
            hint="fetch or copy it again",
        )  # fmt: skip
    return size - _CRC_SIZE


def _values(file: BinaryIO, size: int) -> Iterator[tuple[int, Span]]:
    """Yield where each value of a file begins and where its message is; the last one's may end past the file."""
    offset = 0
    while offset < size:
        file.seek(offset)
        if file.read(1) != b"\n":
            raise Damaged(offset, "there is no tensor")
        length = varint(file)
        span = Span(file.tell(), length)
        yield offset, span
        offset = span.end


def _value(file: BinaryIO, span: Span) -> tuple[str, tuple[int, ...], str, Span]:
    """Return the tag, shape, type and file offset of one value."""
    tag: str | None = None
    tensor: Span | None = None
    for number, value in fields(file, span):
        if number == 1:
            tag = sys.intern(text(file, value))  # of the same names there may be hundreds of files
        elif number == 2 and isinstance(value, Span):
            tensor = value
        elif number == 3:
            raise UnsupportedError(f"{tag!r} is a hash table, which is not read", value=tag)
    if tag is None or tensor is None:
        raise Damaged(span.start, "a tensor without its name or content")
    dims: list[int] = []
    kind, content = "", Span(tensor.end, 0)
    for number, value in fields(file, tensor):
        if number == 1:
            dims += numbers(file, value)
        elif number == 2:
            kind = text(file, value)
        elif number == 3 and isinstance(value, Span):
            content = value
    return tag, () if dims == [0] else tuple(dims), kind, content


class _Entry:
    """A tensor of a file, in one or more pieces."""

    __slots__ = ("kind", "name", "shape", "spans")

    def __init__(self, name: str, shape: tuple[int, ...], kind: str, spans: list[Span]) -> None:
        self.name, self.shape, self.kind, self.spans = name, shape, kind, spans

    def tensor(self, path: Path) -> SourceTensor:
        """Return it for a converter; raise IntegrityError where its content is too short or too long for its shape."""
        held = sum(span.length for span in self.spans)
        wanted = _BYTES.get(self.kind, 0) * math.prod(self.shape)
        if self.kind in _BYTES and held != wanted:
            raise IntegrityError(
                f"{self.name!r} in {path} is damaged", value=self.name,
                why=f"{self.kind} {self.shape} takes {wanted} bytes, and it has {held}", hint="fetch or copy it again",
            )  # fmt: skip
        dtype = _DTYPES.get(self.kind, self.kind)
        return SourceTensor(self.name, self.shape, dtype, f"{self.name!r} in {path.name}", lambda: self._read(path))

    def _read(self, path: Path) -> np.ndarray:
        stored = {"Float32": "<f4", "Float16": "<f2", "BFloat16": "<u2"}.get(self.kind)
        if stored is None:
            raise UnsupportedError(f"{self.name!r} in {path} is {self.kind}, which is not read", value=self.name)
        array = np.empty(self.shape, stored)
        buffer, offset = array.reshape(-1).view(np.uint8).data, 0
        with path.open("rb", buffering=0) as file:
            for span in self.spans:
                file.seek(span.start)
                end = offset + span.length
                while offset < end:
                    read = file.readinto(buffer[offset:end])
                    if not read:
                        raise IntegrityError(f"{path} became shorter while it was read", value=str(path))
                    offset += read
        if self.kind == "BFloat16":
            wide = array.astype(np.uint32)
            wide <<= 16
            return wide.view(np.float32)
        return array
