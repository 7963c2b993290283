"""Damaging files at random, from a seed, as disks, downloads, editors and attackers do."""

import json
import random
import struct

#: Values that stand where something else is expected.
ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**18, 10**30, 0.5, -0.0, 1e308, float("nan"), "", "x", "\x1b[2J",
    "../x", "/etc/passwd", "a\0b", "\ud800", "é" * 5000, [], {}, [[]], [None], {"": ""}, [1, -1], ["F32"], "F32",
)  # fmt: skip


def damaged_bytes(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with one fault: cut off, bits flipped, a part lost, doubled, zeroed, or another in its place."""
    array = bytearray(data)
    if not array:
        return b"\x00"
    start = min(int(draw.expovariate(1 / 60)), len(array) - 1) if draw.random() < 0.5 else draw.randrange(len(array))
    length = draw.choice((1, 2, 8, 64, 1000))
    kind = draw.randrange(7)
    if kind == 0:
        return bytes(array[:start])
    if kind == 1:
        for _ in range(draw.choice((1, 1, 3, 20))):
            array[min(int(draw.expovariate(1 / 300)), len(array) - 1)] ^= 1 << draw.randrange(8)
    elif kind == 2:
        del array[start : start + length]
    elif kind == 3:
        array[start:start] = array[start : start + length]
    elif kind == 4:
        array[start : start + length] = bytes(len(array[start : start + length]))
    elif kind == 5:
        array[start : start + length] = draw.randbytes(length)
    else:
        array[:8] = struct.pack("<Q", draw.choice((0, 1, 7, len(data), len(data) - 8, 2**31, 2**63, 2**64 - 1)))
    return bytes(array)


def damaged_json(value: object, draw: random.Random) -> object:
    """Return a copy of a JSON value with one value, key or entry changed."""
    value = json.loads(json.dumps(value))
    targets: list[tuple[dict | list, object]] = []
    pending = [value]
    while pending:
        node = pending.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            targets.append((node, key))
            if isinstance(node[key], (dict, list)):
                pending.append(node[key])
    if not targets:
        return draw.choice(ODD)
    node, key = draw.choice(targets)
    kind = draw.randrange(4)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[str(draw.choice(ODD))] = node.pop(key)
    elif kind == 2:
        other, there = draw.choice(targets)
        node[key] = json.loads(json.dumps(other[there]))
    else:
        node[key] = draw.choice(ODD)
    return value


def dump(value: object) -> bytes:
    """Return JSON, lone surrogates included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")
