"""Protocol buffers read from a file without reading what is long: just enough for MindSpore's files.

A message is a row of fields; a field is a key (number and kind), then a number, or a length and as many bytes. See
"Encoding" in the documentation of protocol buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Damaged(Exception):
    """The bytes are not a message: ``offset`` is the file offset, ``why`` the reason."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"at byte {offset}: {why}")


class Span(NamedTuple):
    """Bytes of the file: a text, a content, or a message within the message."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.start + self.length


def fields(file: BinaryIO, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield the number of each field of a message, with its value where it is a whole number, else where it is.

    The caller may move in the file between fields.

    Raises:
        Damaged: A field is of no known kind or runs past the message's end.
    """
    offset = span.start
    while offset < span.end:
        file.seek(offset)
        key = varint(file)
        number, kind = key >> 3, key & 7
        value: int | Span
        if kind == 0:
            value = varint(file)
            offset = file.tell()
        elif kind == 2:
            length = varint(file)
            if length < 0:
                raise Damaged(offset, "a field of negative length")
            value = Span(file.tell(), length)
            offset = value.end
        elif kind in (1, 5):
            value = Span(file.tell(), 8 if kind == 1 else 4)
            offset = value.end
        else:
            raise Damaged(offset, f"a field of the unknown kind {kind}")
        if offset > span.end:
            raise Damaged(span.end, f"a field of {offset - span.end} bytes more is cut off")
        yield number, value


def varint(file: BinaryIO) -> int:
    """Return the number at the file's position, seven bits in a byte; negative ones are of 64 bits."""
    start, number = file.tell(), 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise Damaged(start, "a number is cut off")
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number - (1 << 64) if number >> 63 else number
    raise Damaged(start, "a number of more than ten bytes")


def text(file: BinaryIO, value: int | Span) -> str:
    """Return the text of a field."""
    if not isinstance(value, Span) or value.length > 10_000:
        raise Damaged(file.tell(), "a name is expected")
    file.seek(value.start)
    data = file.read(value.length)
    if len(data) < value.length:
        raise Damaged(value.start, "a name is cut off")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Damaged(value.start, "a name that is no UTF-8") from error


def numbers(file: BinaryIO, value: int | Span) -> list[int]:
    """Return the numbers of one occurrence of a repeated field: one, or several packed together."""
    if isinstance(value, int):
        return [value]
    file.seek(value.start)
    found = []
    while file.tell() < value.end:
        found.append(varint(file))
    return found
