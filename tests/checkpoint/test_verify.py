"""Digests: a flipped bit anywhere in a file of weights is found, and the file is named."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mf_core.checkpoint.safetensors_reader import read_header
from mf_core.checkpoint.shards import LazyTensor, add_digest, bytes_of, file_header, save_tensors, write_shards
from mf_core.checkpoint.verify import check_files, require_whole
from mf_core.cli import main
from mf_core.errors import IntegrityError, UnsupportedError

INDEX = "model.safetensors.index.json"
ARRAYS = {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float16), "c": np.array(3, np.int64)}


def save(folder, shard_size=10**9, **changes):
    arrays = {**ARRAYS, **changes}
    lazy = [LazyTensor(name, a.shape, a.dtype.name, lambda a=a: a) for name, a in arrays.items()]
    return write_shards(lazy, folder, shard_size=shard_size)


def statuses(folder):
    return {found.path.name: found.status for found in check_files(folder)}


def test_any_flipped_bit_is_found(tmp_path):
    (path,) = save(tmp_path)
    assert statuses(tmp_path) == {"model.safetensors": "whole"}
    whole = path.read_bytes()
    for number in range(0, len(whole) * 8, 7):
        data = bytearray(whole)
        data[number // 8] ^= 1 << number % 8
        path.write_bytes(data)
        found = check_files(tmp_path)[0]
        assert found.status != "whole", number
        if found.status == "unknown":  # the key itself was hit
            assert 8 < number // 8 < 60
        else:
            with pytest.raises(IntegrityError, match=r"model\.safetensors is damaged"):
                require_whole([path])


def test_the_file_is_what_the_library_reads(tmp_path):
    (path,) = save(tmp_path)
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    save_file(ARRAYS, tmp_path / "other.safetensors")
    assert statuses(tmp_path) == {"model.safetensors": "whole", "other.safetensors": "unknown"}
    with pytest.raises(UnsupportedError, match=r"other\.safetensors cannot be verified"):
        require_whole([tmp_path / "other.safetensors"])


def test_shards_of_two_saves_are_no_set(tmp_path):
    one, two = save(tmp_path / "one", 30), save(tmp_path / "two", 30, a=np.zeros(6, np.float32))
    assert set(statuses(tmp_path / "one").values()) == {"whole"}
    assert json.loads((tmp_path / "one" / INDEX).read_text())["metadata"]["total_size"] == 44
    one[0].write_bytes(two[0].read_bytes())
    assert statuses(tmp_path / "one") == {one[0].name: "damaged", **{path.name: "whole" for path in one[1:]}}
    one[1].unlink()
    assert statuses(tmp_path / "one")[one[1].name] == "damaged"


def test_a_file_that_is_written_in_parts(tmp_path):
    start, offsets = file_header({"a": ((6,), "float32")})
    path = tmp_path / "rank-00000.safetensors"
    with path.open("wb") as file:
        file.write(start)
        file.seek(offsets["a"])
        file.write(bytes_of(ARRAYS["a"]))
    assert add_digest(path) == save_tensors(tmp_path / "at-once.safetensors", {"a": ARRAYS["a"]})
    assert set(statuses(tmp_path).values()) == {"whole"}
    assert read_header(path).tensors["a"].start == offsets["a"]


def test_command(tmp_path, capsys):
    files = save(tmp_path, 30)
    assert main(["ckpt", "verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("whole") == len(files)
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    assert main(["ckpt", "verify", str(tmp_path), "--json"]) == 1
    found = {item["file"]: item["status"] for item in json.loads(capsys.readouterr().out)}
    assert found == {files[0].name: "damaged", **{path.name: "whole" for path in files[1:]}}
    assert main(["ckpt", "verify", str(tmp_path / "nowhere")]) != 0
