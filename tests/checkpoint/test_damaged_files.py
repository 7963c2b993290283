"""Files that are damaged or made to mislead: what is read is right, or the error is one of the library's, quickly."""

import json
import random
import struct
import tracemalloc

import numpy as np
import pytest

from mf_core.checkpoint.inspect import inspect
from mf_core.checkpoint.locate import locate
from mf_core.checkpoint.safetensors_reader import read_header, weights_of_folder
from mf_core.checkpoint.shards import LazyTensor, write_file, write_shards
from mf_core.checkpoint.verify import check_files
from mf_core.config import PretrainedConfig
from mf_core.errors import IntegrityError, MFError
from mf_core.utils.files import JSON_LIMIT, YAML_LIMIT, read_config_file

from ..support.damage import damaged_bytes, damaged_json, dump

INDEX = "model.safetensors.index.json"
ARRAYS = {f"layer.{n}.weight": np.arange(n * 10, n * 10 + 12, dtype=np.float32).reshape(3, 4) for n in range(5)}
CONFIG = {"model_type": "small", "vocab_size": 100, "n_layer": 2, "task_specific": {"a": [1, 2, {"b": "c"}]}}


class SmallConfig(PretrainedConfig):
    """A configuration with fields of some kinds."""

    model_type = "small"
    json_names = {"num_layers": "n_layer"}

    vocab_size: int = 10
    num_layers: int = 1


def lazy():
    return [LazyTensor(name, a.shape, a.dtype.name, lambda a=a: a) for name, a in ARRAYS.items()]


def attempt(action):
    """Return what an action returns, or None where it raises an error of the library; bounded in memory."""
    tracemalloc.start()
    try:
        return action()
    except MFError as error:
        text = str(error)
        assert len(text) < 3000
        assert text.replace("\n", "").isprintable(), repr(text)
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30e6, f"{peak / 1e6:.0f} MB"


def test_headers(tmp_path, draws):
    """Bytes of a file are changed: its tensors are as they were written, or the file is refused."""
    draw, path = random.Random(3), tmp_path / "model.safetensors"
    write_file(path, lazy())
    whole = path.read_bytes()
    read = 0
    for _ in range(draws):
        path.write_bytes(damaged_bytes(whole, draw))
        header = attempt(lambda: read_header(path))
        if header is None:
            continue
        read += 1
        size = path.stat().st_size
        assert header.length + sum(tensor.nbytes for tensor in header.tensors.values()) == size
        for tensor in header.tensors.values():
            attempt(tensor.read)
        if path.read_bytes() != whole:  # also where the header was not touched, the damage is found
            assert [found.status for found in check_files(tmp_path)] in (["damaged"], ["unknown"])
    assert 0 < read < draws


def test_entries_of_headers(tmp_path, draws):
    """Values in a header are changed, which stays JSON."""
    draw, path = random.Random(4), tmp_path / "model.safetensors"
    write_file(path, lazy())
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    entries, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    for _ in range(draws):
        text = dump(damaged_json(entries, draw))
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        header = attempt(lambda: read_header(path))
        for tensor in () if header is None else header.tensors.values():
            array = attempt(tensor.read)
            assert array is None or array.shape == tensor.shape


@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_indexes(kind, tmp_path, draws):
    draw = random.Random(5)
    write_shards(lazy(), tmp_path, shard_size=100)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    index = json.loads((tmp_path / INDEX).read_text())
    for _ in range(draws):
        changed = dump(damaged_json(index, draw)) if kind == "values" else damaged_bytes(dump(index), draw)
        (tmp_path / INDEX).write_bytes(changed)
        stored = attempt(lambda: weights_of_folder(tmp_path))
        for name, tensor in (stored or {}).items():
            np.testing.assert_array_equal(tensor.read(), ARRAYS[name])
        attempt(lambda: inspect(tmp_path))
        attempt(lambda: check_files(tmp_path))


@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_configurations(kind, tmp_path, draws):
    draw, path = random.Random(6), tmp_path / "config.json"
    for _ in range(draws):
        path.write_bytes(dump(damaged_json(CONFIG, draw)) if kind == "values" else damaged_bytes(dump(CONFIG), draw))
        attempt(lambda: locate(tmp_path).model_type)
        attempt(lambda: SmallConfig.from_dict(locate(tmp_path).config))


@pytest.fixture
def draws(request):
    """How many files are damaged."""
    return 3000 if request.node.get_closest_marker("slow") else 150


@pytest.mark.slow
@pytest.mark.parametrize("test", [test_headers, test_entries_of_headers])
def test_many_headers(test, tmp_path, draws):
    test(tmp_path, draws)


@pytest.mark.slow
@pytest.mark.parametrize("test", [test_indexes, test_configurations])
@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_many_texts(test, kind, tmp_path, draws):
    test(kind, tmp_path, draws)


@pytest.mark.parametrize(("name", "limit"), [("config.json", JSON_LIMIT), ("config.yaml", YAML_LIMIT)])
def test_files_over_the_limit_are_not_read(name, limit, tmp_path):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(3_000_000_000)  # of a disk's blocks it has none
    with pytest.raises(IntegrityError, match="3,000,000,000 bytes") as caught:
        read_config_file(path)
    assert f"{limit:,}" in caught.value.why


def test_deep_and_wide_headers(tmp_path):
    path = tmp_path / "model.safetensors"
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b'{"__metadata__":{"a":' + b"[" * 90_000, b"[" + b"1," * 100_000):
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        with pytest.raises(IntegrityError):
            read_header(path)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "does not take the bytes"),
        ({"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}, "unknown type"),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}, "has the shape"),
        ({"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}, "has the shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}, "begin at byte"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "the file at"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "the file at"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "more": 1}, "is not a dtype"),
    ],
)
def test_faults_of_an_entry_are_named(entry, why, tmp_path):
    text = json.dumps({"x": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(IntegrityError) as caught:
        read_header(tmp_path / "a.safetensors")
    assert why in caught.value.why


def test_tensors_that_overlap_are_refused(tmp_path):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    text = json.dumps({"x": entry, "y": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(IntegrityError) as caught:
        read_header(tmp_path / "a.safetensors")
    assert "'y'" in caught.value.why
