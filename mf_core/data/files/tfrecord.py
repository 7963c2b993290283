"""The frames of a TFRecord file, and the checksums in them, which MindSpore does not look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import DataError

#: Checksums are computed for so many bytes at once, the shorter records padded to the longest.
_BYTES = 1 << 22


def check_frames(path: Path) -> None:
    """Raise DataError where a file is truncated or a checksum is wrong.

    A record is its length (8 bytes), the length's checksum (4), its bytes, and their checksum (4); the checksum is
    CRC-32C, rotated and shifted (TensorFlow, ``tensorflow/core/lib/io/record_writer.h``).
    """
    size, number = os.path.getsize(path), 0
    bodies: list[bytes] = []
    sums: list[int] = []

    def check() -> None:
        wrong = np.flatnonzero(masked_crc32c(bodies) != np.array(sums, np.uint32))
        if wrong.size:
            raise _corrupt(path, number - len(bodies) + int(wrong[0]), "its checksum is wrong")
        bodies.clear()
        sums.clear()

    if size == 0:
        raise DataError(f"{path} is empty", value=str(path))
    longest = 0
    with path.open("rb") as file:
        while file.tell() < size:
            bodies.append(_body(file, size, path, number))
            sums.append(int.from_bytes(file.read(4), "little"))
            number += 1
            longest = max(longest, len(bodies[-1]))
            if longest * len(bodies) > _BYTES:
                check()
                longest = 0
    if bodies:
        check()


def _body(file: BinaryIO, size: int, path: Path, number: int) -> bytes:
    head = file.read(12)
    if len(head) < 12:
        raise _corrupt(path, number, "the file ends within its length")
    if _of_length(head[:8]) != int.from_bytes(head[8:], "little"):
        raise _corrupt(path, number, "the checksum of its length is wrong")
    length = int.from_bytes(head[:8], "little")
    if length + 4 > size - file.tell():
        raise _corrupt(path, number, f"it has {length} bytes, and the file ends before")
    return file.read(length)


def masked_crc32c(blocks: list[bytes]) -> np.ndarray:
    """Return the masked CRC-32C of each block, computed for all of them at once, byte after byte: uint32."""
    order = sorted(range(len(blocks)), key=lambda i: -len(blocks[i]))
    lengths = np.array([len(blocks[i]) for i in order])
    data = np.zeros((len(blocks), int(lengths[0])), np.uint8)
    for row, i in enumerate(order):
        data[row, : len(blocks[i])] = np.frombuffer(blocks[i], np.uint8)
    columns = np.ascontiguousarray(data.T)
    crc = np.full(len(blocks), 0xFFFFFFFF, np.uint32)
    alive = np.searchsorted(-lengths, -np.arange(len(columns)))  # how many blocks go on at each byte
    for column, count in zip(columns, alive, strict=True):
        now = crc[:count]
        crc[:count] = _TABLE[(now ^ column[:count]) & 0xFF] ^ (now >> 8)
    crc = ~crc
    result = np.empty_like(crc)
    result[order] = ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)
    return result


def _of_length(head: bytes) -> int:
    """Return the same of eight bytes; one at a time is quicker so."""
    crc = 0xFFFFFFFF
    for byte in head:
        crc = _STEPS[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _corrupt(path: Path, number: int, why: str) -> DataError:
    return DataError(
        f"{path}, record {number} is truncated or corrupt", value=str(path), why=why, hint="copy the file again"
    )


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_TABLE = _table()
_STEPS: list[int] = _TABLE.tolist()
