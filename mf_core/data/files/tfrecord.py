"""The frames of a TFRecord file, and the checksums in them, which MindSpore does not look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ...errors import DataError


def check_frames(path: Path) -> None:
    """Raise DataError where a file is truncated or a checksum is wrong.

    A record is its length (8 bytes), the length's checksum (4), its bytes, and their checksum (4); the checksum is
    CRC-32C, rotated and shifted (TensorFlow, ``tensorflow/core/lib/io/record_writer.h``).
    """
    size, number = os.path.getsize(path), 0
    if size == 0:
        raise DataError(f"{path} is empty", value=str(path))
    with path.open("rb") as file:
        while file.tell() < size:
            body = _body(file, size, path, number)
            if masked_crc32c(body) != int.from_bytes(file.read(4), "little"):
                raise _corrupt(path, number, "its checksum is wrong")
            number += 1


def _body(file: BinaryIO, size: int, path: Path, number: int) -> bytes:
    head = file.read(12)
    if len(head) < 12:
        raise _corrupt(path, number, "the file ends within its length")
    if masked_crc32c(head[:8]) != int.from_bytes(head[8:], "little"):
        raise _corrupt(path, number, "the checksum of its length is wrong")
    length = int.from_bytes(head[:8], "little")
    if length + 4 > size - file.tell():
        raise _corrupt(path, number, f"it has {length} bytes, and the file ends before")
    return file.read(length)


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes, masked as in TFRecord files."""
    import google_crc32c

    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _corrupt(path: Path, number: int, why: str) -> DataError:
    return DataError(
        f"{path}, record {number} is truncated or corrupt", value=str(path), why=why, hint="copy the file again"
    )
