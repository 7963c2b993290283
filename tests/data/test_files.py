"""Files of ids: MindRecord, TFRecord, .npy."""

import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mf_core.data import open_records, rows
from mf_core.errors import DataError, FileMissingError

from ..support.data_sources import write_tfrecord, write_with_file_writer

ROWS = [[n, n + 1, n + 2] for n in range(10)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ids_of(records):
    return [np.asarray(record["input_ids"]).tolist() for record in records]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with ``wiki.train.mindrecord`` as MindSpore wrote it."""
    folder = tmp_path_factory.mktemp("written")
    write_with_file_writer(folder / "wiki.train.mindrecord", ROWS)
    return folder


@pytest.fixture
def wiki(tmp_path, written):
    """The path of a copy."""
    shutil.copytree(written, tmp_path / "wiki")
    return tmp_path / "wiki" / "wiki.train.mindrecord"


# MindRecord ---------------------------------------------------------------------------------------------------------


def test_mindrecord_is_read_once(wiki, cache, tmp_path):
    records = open_records(str(wiki))
    assert records.kind == "ids"
    assert ids_of(records) == ROWS
    assert records[3]["input_ids"].dtype == np.int32
    assert records.location(7) == f"{wiki}, record 7"
    shutil.copytree(wiki.parent, tmp_path / "elsewhere")
    # Another process, where MindSpore cannot be imported, finds it by its content.
    code = f"import sys; sys.modules['mindspore'] = None; from mf_core.data import open_records; print(len(open_records({str(tmp_path / 'elsewhere')!r})))"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("10\n", "")
    assert sorted(path.name for path in wiki.parent.iterdir()) == [wiki.name, f"{wiki.name}.db"]


def test_one_shard_stands_for_all_and_a_list_for_itself(tmp_path):
    write_with_file_writer(tmp_path / "x.mindrecord", ROWS, shards=4, more=("attention_mask", "labels"))
    with pytest.warns(UserWarning, match="the columns attention_mask, labels are not read"):
        everything = open_records(tmp_path / "x.mindrecord0")
    assert ids_of(everything) == ROWS
    assert everything.location(9).startswith(f"{tmp_path / 'x.mindrecord3'}, record ")
    two = [tmp_path / "x.mindrecord1", tmp_path / "x.mindrecord0"]
    with pytest.warns(UserWarning):
        some = open_records(two)
    assert 0 < len(some) < 10
    assert ids_of(some)[-1] < ids_of(some)[0]
    assert some.location(0) == f"{two[0]}, record 0"
    with pytest.raises(FileMissingError, match=r"no file .*x.mindrecord'") as caught:
        open_records(tmp_path / "x.mindrecord")
    assert "x.mindrecord0" in caught.value.hint
    (tmp_path / "x.mindrecord2").unlink()
    with pytest.raises(FileMissingError, match=r"x.mindrecord0 is a shard of 4, and x.mindrecord2 is not there"):
        open_records(tmp_path / "x.mindrecord0")


def test_mindrecord_is_known_by_its_content(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    write_with_file_writer(folder / "wiki", ROWS, shards=2)
    assert ids_of(open_records(folder)) == ROWS
    assert ids_of(open_records(folder / "wiki0")) == ROWS


def test_masks_and_segments_are_read(tmp_path):
    write_with_file_writer(tmp_path / "m.mindrecord", ROWS, more=("loss_mask", "segment_ids"))
    row = rows(open_records(tmp_path / "m.mindrecord"), vocab_size=20, max_length=3)[2]
    assert {name: (column.dtype.name, column.tolist()) for name, column in row.items()} == {
        "input_ids": ("int32", [2, 3, 4]), "loss_mask": ("uint8", [1, 1, 1]), "segment_ids": ("int32", [1, 1, 1])
    }  # fmt: skip


def test_rows_of_a_file_are_named_by_it(tmp_path):
    path = tmp_path / "uneven.mindrecord"
    write_with_file_writer(path, [[1, 2, 3], [1, 2], [1, 2, 50]])
    made = rows(open_records(path), vocab_size=20, max_length=3)
    assert made[0]["input_ids"].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=f"{path}, record 1 has 2 ids, record 0 has 3"):
        made[1]
    with pytest.warns(UserWarning, match="2 bad records are left out"):
        left = rows(open_records(path, on_bad_record="skip"), vocab_size=20, max_length=3)
    assert (len(left), left.skipped) == (1, 2)


def damage(path, how):
    if how == "no index":
        path.with_name(f"{path.name}.db").unlink()
    elif how == "index of garbage":
        path.with_name(f"{path.name}.db").write_bytes(b"x" * 5000)
    elif how == "renamed":
        for name in (path.name, f"{path.name}.db"):
            (path.parent / name).rename(path.parent / name.replace("train", "test"))
        return path.with_name(path.name.replace("train", "test"))
    elif how == "wrong length":  # MindSpore kills its process for this
        with path.open("r+b") as file:
            file.seek(16 << 20)
            file.write(b"\xff" * 1000)
    else:
        os.truncate(path, {"cut in the data": (32 << 20) + 30, "cut in the header": 100, "empty": 0}[how])
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no index", r"lacks its index 'wiki.train.mindrecord.db'"),
        ("index of garbage", "wiki.train.mindrecord is truncated or corrupt"),
        ("renamed", "wiki.test.mindrecord has been renamed"),
        ("wrong length", "wiki.train.mindrecord is truncated or corrupt"),
        ("cut in the data", "wiki.train.mindrecord is truncated or corrupt"),
        ("cut in the header", "wiki.train.mindrecord is not a MindRecord file, or is truncated"),
        ("empty", "wiki.train.mindrecord is not a MindRecord file, or is truncated"),
    ],
)
def test_damaged_mindrecord(wiki, cache, how, message):
    path = damage(wiki, how)
    for on_bad_record in ("error", "skip") if how == "cut in the data" else ("error",):  # a file is no record
        with pytest.raises((DataError, FileMissingError), match=message) as caught:
            open_records(path, on_bad_record=on_bad_record)
        assert caught.value.why or caught.value.hint
    assert not cache.exists() or list((cache / "datasets").iterdir()) == []


def test_mindrecord_without_ids(tmp_path):
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(tmp_path / "t.mindrecord"))
    writer.add_schema({"tokens": {"type": "int32", "shape": [-1]}}, "tokens")
    writer.write_raw_data([{"tokens": np.ones(3, np.int32)}])
    writer.commit()
    with pytest.raises(DataError, match=r"t.mindrecord has no column 'input_ids'; it has: tokens"):
        open_records(tmp_path / "t.mindrecord")


# TFRecord -----------------------------------------------------------------------------------------------------------


def test_tfrecord(tmp_path):
    write_tfrecord(tmp_path / "b.tfrecord", [{"input_ids": row, "attention_mask": [1] * 3} for row in ROWS])
    write_tfrecord(tmp_path / "a.tfrecords", [{"input_ids": [7, 300], "attention_mask": [1, 1]}])
    with pytest.warns(UserWarning, match="the columns attention_mask are not read"):
        records = open_records([tmp_path / "b.tfrecord", tmp_path / "a.tfrecords"])
    assert ids_of(records) == [*ROWS, [7, 300]]
    assert records.location(10) == f"{tmp_path / 'a.tfrecords'}, record 0"
    write_tfrecord(tmp_path / "c.tfrecord", [{"tokens": [1, 2]}])
    with pytest.raises(DataError, match=r"c.tfrecord has no column 'input_ids'; it has: tokens"):
        open_records(tmp_path / "c.tfrecord")
    with pytest.raises(DataError, match=r"c.tfrecord has no column 'input_ids'"):
        open_records([tmp_path / "a.tfrecords", tmp_path / "c.tfrecord"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-7], "record 9 is truncated or corrupt"),
        (lambda data: data[:-50] if len(data) % 10 else data[:-51], "is truncated or corrupt"),
        (lambda data: data[: len(data) // 10 * 4 + 5], "record 4 is truncated or corrupt"),
        (lambda data: data[: len(data) // 10 * 3 - 6] + b"\x7f" + data[len(data) // 10 * 3 - 5 :], "record 2 is trunc"),
        (lambda data: b"\xff\xff" + data[2:], "record 0 is truncated or corrupt"),
        (lambda data: b"hello world" * 10, "record 0 is truncated or corrupt"),
        (lambda data: b"", "is empty"),
    ],
)
def test_damaged_tfrecord(tmp_path, change, message):
    path = tmp_path / "d.tfrecord"
    write_tfrecord(path, [{"input_ids": row} for row in ROWS])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"d.tfrecord.* {message}|d.tfrecord,? {message}"):
        open_records(path)


def test_checksums_of_records_of_all_lengths():
    from mf_core.data.files.tfrecord import masked_crc32c

    from ..support.data_sources import _masked_crc

    generator = np.random.default_rng(0)
    blocks = [generator.bytes(int(n)) for n in generator.integers(0, 90, 40)]
    assert [masked_crc32c(block) for block in blocks] == [_masked_crc(block) for block in blocks]


# .npy ---------------------------------------------------------------------------------------------------------------


def test_npy_is_mapped_into_memory(tmp_path, cache):
    for name, row in (("a.npy", 5), ("b.npy", 6)):
        np.save(tmp_path / name, np.full((4, 3), row, np.uint16))
    records = open_records(tmp_path)
    assert ids_of(records) == [[5] * 3] * 4 + [[6] * 3] * 4
    assert records.location(5) == f"{tmp_path / 'b.npy'}, record 1"
    big = np.lib.format.open_memmap(tmp_path / "c.npy", mode="w+", dtype=np.int32, shape=(1 << 20, 512))  # 2 GB, a hole
    big[-1] = 3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert rows(open_records(tmp_path / "c.npy"), vocab_size=9, max_length=512)[-1]["input_ids"].tolist() == [3] * 512
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert not cache.exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5, int), r"a.npy holds int64\[5\]"),
        (np.zeros((5, 2)), r"a.npy holds float64\[5, 2\]"),
        (np.array([[1], [2, 3]], object), "a.npy is not a .npy file of ids"),
        (np.zeros((0, 2), int), "a.npy is empty"),
    ],
)
def test_npy_of_something_else(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        rows(open_records(tmp_path / "a.npy"), vocab_size=9, max_length=9)


def test_damaged_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 3), int))
    for size in (150, 40, 0):
        os.truncate(tmp_path / "a.npy", size)
        with pytest.raises(DataError, match=r"a.npy is not a .npy file of ids, or is truncated"):
            open_records(tmp_path / "a.npy")
