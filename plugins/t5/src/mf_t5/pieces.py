"""SentencePiece's unigram models (Kudo, 2018), read without its library.

The file is a protocol buffer, ``ModelProto``: fields, each a key (number and kind), then a number, or a length and as
many bytes. See "Encoding" in the documentation of protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

#: Numbers of fields: of the model, of a piece, of the normalizer; and the kind of the unknown piece.
_PIECE, _NORMALIZER = 1, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_CHARACTERS = 2
_UNKNOWN = 2


@dataclass(frozen=True)
class UnigramModel:
    """A vocabulary.

    Attributes:
        pieces: Each with its log-probability.
        unknown: Number of the piece for unknown characters; None: there is none.
        characters: How characters are normalised, as ``tokenizers.normalizers.Precompiled`` takes it; empty: not.
    """

    pieces: list[tuple[str, float]]
    unknown: int | None
    characters: bytes


def read_unigram(data: bytes) -> UnigramModel:
    """Return the model that a file's bytes are; raise ValueError where they are none."""
    pieces: list[tuple[str, float]] = []
    unknown, characters = None, b""
    for number, value in _fields(data):
        if number == _PIECE and isinstance(value, bytes):
            piece = dict(_fields(value))
            text, score = piece.get(_TEXT), piece.get(_SCORE, bytes(4))
            if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4:
                raise ValueError(f"piece {len(pieces)} has no text or no score")
            if piece.get(_KIND) == _UNKNOWN:
                unknown = len(pieces)
            pieces.append((text.decode(), struct.unpack("<f", score)[0]))
        elif number == _NORMALIZER and isinstance(value, bytes):
            found = dict(_fields(value)).get(_CHARACTERS, b"")
            characters = found if isinstance(found, bytes) else b""
    if not pieces:
        raise ValueError("it has no pieces")
    return UnigramModel(pieces, unknown, characters)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message, each with its number; raise ValueError for bytes that are no message."""
    position = 0
    while position < len(data):
        key, position = _number(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _number(data, position)
            yield key >> 3, value
            continue
        if kind == 2:
            size, position = _number(data, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"a field is cut off at byte {len(data)}")
        yield key >> 3, data[position : position + size]
        position += size


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, seven bits in a byte, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        number, position = number | (byte & 0x7F) << shift, position + 1
        if byte < 0x80:
            return number, position
    raise ValueError(f"a number is cut off or too long at byte {position}")
