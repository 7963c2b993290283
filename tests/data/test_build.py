"""``mf data build`` and writing MindRecord files."""

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from mf_core import AutoTokenizer
from mf_core.data import open_records, rows, write_mindrecord
from mf_core.errors import ArgumentError, DataError, FileMissingError

ROWS = [{"input_ids": np.arange(n, n + 4, dtype=np.int32)} for n in range(2500)]
STORIES = [f"Once upon a time there was a fox named Ada, number {n}." for n in range(40)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def read_by_mindspore(path):
    from mindspore.dataset import MindDataset

    return list(MindDataset([str(path)], shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True))


def build(*args):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())", "data", "build", *args],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def stories():
    with open("stories.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in STORIES)
    return "stories.jsonl"


# write_mindrecord ---------------------------------------------------------------------------------------------------


def test_rows_that_are_written_are_read_by_mindspore_and_by_us():
    assert write_mindrecord("a.mindrecord", iter(ROWS)) == 2500
    found = read_by_mindspore("a.mindrecord")
    assert [list(record) for record in found[:1]] == [["input_ids"]]
    assert found[0]["input_ids"].dtype == np.int32
    assert [record["input_ids"].tolist() for record in found] == [row["input_ids"].tolist() for row in ROWS]
    assert rows(open_records("a.mindrecord"), vocab_size=2600, max_length=4)[-1]["input_ids"].tolist() == [
        2499, 2500, 2501, 2502
    ]  # fmt: skip
    assert sorted(os.listdir()) == ["a.mindrecord", "a.mindrecord.db"]
    umask = os.umask(0)
    os.umask(umask)
    for name in os.listdir():
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o666 & ~umask


def test_files_appear_whole_or_not_at_all():
    def broken():
        yield from ROWS[:1500]
        raise DataError("record 1500 is bad")

    with pytest.raises(DataError, match="record 1500 is bad"):
        write_mindrecord("a.mindrecord", broken())
    assert os.listdir() == []
    write_mindrecord("a.mindrecord", ROWS[:3])
    with pytest.raises(ArgumentError, match=r"a.mindrecord exists") as caught:
        write_mindrecord("a.mindrecord", ROWS[:5])
    assert "overwrite=True" in caught.value.hint
    with pytest.raises(DataError):
        write_mindrecord("a.mindrecord", broken(), overwrite=True)
    assert len(read_by_mindspore("a.mindrecord")) == 3
    write_mindrecord("a.mindrecord", ROWS[:5], overwrite=True)
    assert len(read_by_mindspore("a.mindrecord")) == 5
    assert sorted(os.listdir()) == ["a.mindrecord", "a.mindrecord.db"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "there are no rows"),
        ([{"ids": np.arange(3)}], "row 0 has no input_ids; it has: ids"),
        ([{"input_ids": np.ones((2, 2), int)}], r"row 0: input_ids is int64\[2, 2\]"),
        ([{"input_ids": np.ones(2)}], r"row 0: input_ids is float64\[2\]"),
        ([ROWS[0], {**ROWS[1], "loss_mask": np.ones(4, np.uint8)}], "row 1 has input_ids, loss_mask, and row 0 has"),
    ],
)
def test_rows_that_cannot_be_written(given, message):
    with pytest.raises(DataError, match=message):
        write_mindrecord("a.mindrecord", given)
    assert os.listdir() == []


def test_a_folder_that_is_not_there():
    with pytest.raises(FileMissingError, match="no folder 'nowhere'"):
        write_mindrecord("nowhere/a.mindrecord", ROWS)


# mf data build ------------------------------------------------------------------------------------------------------


def test_build_join(stories):
    code, out, err = build(stories, "--tokenizer", "gpt2_tiny", "--output", "s.mindrecord", "--seq-length", "32")
    assert (code, err) == (0, "")
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) + 1 for text in STORIES)
    count = -(-tokens // 33)
    assert f"s.mindrecord: {count} rows of 33 ids" in out
    assert f"40 documents, {tokens} tokens" in out
    assert "0 bad records" in out
    found = read_by_mindspore("s.mindrecord")
    assert len(found) == count
    whole = tokenizer.decode(np.concatenate([record["input_ids"] for record in found]))
    assert whole.replace("<|pad|>", "") == "".join(text + "<|endoftext|>" for text in STORIES)
    assert sorted(os.listdir()) == ["s.mindrecord", "s.mindrecord.db", "stories.jsonl"]
    code, out, err = build(stories, "--tokenizer", "gpt2_tiny", "--output", "s.mindrecord")
    assert (code, out) == (2, "")
    assert "s.mindrecord exists" in err
    assert "--overwrite" in err


def test_build_apart_with_bad_records(stories):
    with open(stories, "a") as file:
        file.write("{\n")
    options = (stories, "--tokenizer", "gpt2_tiny", "--output", "s.mindrecord", "--seq-length", "64", "--mode", "apart")
    code, out, err = build(*options)
    assert (code, out) == (2, "")
    assert "stories.jsonl:41 is not a JSON object" in err
    assert os.listdir() == [stories]
    code, out, err = build(*options, "--on-bad-record", "skip")
    assert code == 0
    assert "1 bad records" in out
    assert "mf: warning: stories.jsonl: 1 bad records are left out" in err
    found = read_by_mindspore("s.mindrecord")
    assert sorted(found[0]) == ["input_ids", "loss_mask", "segment_ids"]
    assert max(record["segment_ids"].max() for record in found) >= 2
    made = rows(open_records("s.mindrecord"), vocab_size=1024, max_length=65)
    assert list(made[0]) == ["input_ids", "loss_mask", "segment_ids"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nowhere.txt",), ("MF301", "nowhere.txt")),
        (("stories.jsonl", "--seq-length", "0"), ("MF202", "--seq-length=0")),
        (("stories.jsonl", "--output", "no/s.mindrecord"), ("MF301", "no folder 'no'")),
        (("stories.jsonl", "--tokenizer", "gpt3_tiny"), ("MF104", "gpt3_tiny")),
        (("ids.npy",), ("MF501", "holds ids already")),
    ],
)
def test_a_users_mistake_is_reported_without_a_stack_trace(stories, args, words):
    np.save("ids.npy", np.ones((2, 3), int))
    code, out, err = build("--tokenizer", "gpt2_tiny", "--output", "s.mindrecord", *args)
    assert (code, out) == (2, "")
    assert err.startswith("mf: ")
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert sorted(os.listdir()) == ["ids.npy", stories]
