"""A tokenizer that counts its work, and writers of data files, for the tests of the data layer."""

import struct

import numpy as np

from mf_core import PretrainedTokenizer


class Letters(PretrainedTokenizer):
    """A token a character: "a" is 3, "b" 4, …; 0 pads, 1 ends, 2 is any other character."""

    encoded = 0

    @classmethod
    def load(cls, source, **options):
        return cls(**options)

    def __init__(self, **options):
        super().__init__(**{"eos_token": "<end>", "pad_token": "<pad>", **options})

    def save_vocabulary(self, directory):
        (directory / "letters.txt").write_text("abcdefghijklmnopqrstuvwxyz")

    def encode_text(self, text):
        Letters.encoded += 1
        ids = [ord(c) - 94 if "a" <= c <= "z" else 2 for c in text]
        return ids, [(i, i + 1) for i in range(len(ids))]

    def decode_ids(self, ids, skip_special_tokens):
        return "".join("_$?"[i] if i < 3 else chr(i + 94) for i in ids)

    def token_to_id(self, token):
        return {"<pad>": 0, "<end>": 1, "?": 2}.get(token)

    def id_to_token(self, index):
        return ["<pad>", "<end>", "?"][index] if index < 3 else chr(index + 94)

    def __len__(self):
        return 29


def show(ids):
    """Return ids of ``Letters`` as a string: ``$`` is the end of a document, ``_`` padding."""
    return Letters().decode_ids(np.asarray(ids).tolist(), False)


def write_with_file_writer(path, rows, *, shards=1, more=()):
    """Write a MindRecord as MindFormers' scripts do; ``more``: columns beside input_ids, of ones."""
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(file_name=str(path), shard_num=shards)
    schema = {name: {"type": "int32", "shape": [-1]} for name in ("input_ids", *more)}
    writer.add_schema(schema, "lm-schema")
    writer.write_raw_data([
        {"input_ids": np.array(row, np.int32), **{name: np.ones(len(row), np.int32) for name in more}} for row in rows
    ])  # fmt: skip
    writer.commit()


def write_tfrecord(path, rows):
    """Write dicts of lists of ids as ``tf.train.Example`` records."""
    with open(path, "wb") as file:
        for row in rows:
            body = _example(row)
            head = struct.pack("<Q", len(body))
            file.write(head + struct.pack("<I", _masked_crc(head)) + body + struct.pack("<I", _masked_crc(body)))


def _example(row):
    features = b""
    for name, values in row.items():
        numbers = _field(3, _field(1, b"".join(_varint(value) for value in values)))
        features += _field(1, _field(1, name.encode()) + _field(2, numbers))
    return _field(1, features)


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def _masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF


class MapDataset:
    """A map-style dataset that records the indices read, and raises when iterated."""

    def __init__(self, items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.items[index]

    def __iter__(self):
        raise AssertionError("the whole dataset was iterated")
