"""Opening what a user gave as a dataset."""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from mf_core.data import Records, RecordStream, open_records
from mf_core.errors import ArgumentError, DataError, FileMissingError

from ..support.data_sources import MapDataset


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def jsonl(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


# Text files ---------------------------------------------------------------------------------------------------------


def test_jsonl(tmp_path):
    path = jsonl(tmp_path / "data.jsonl", {"text": "a\u00e9", "url": "x"}, "", {"text": "b", "url": ""}, {"text": ""})
    records = open_records(str(path))
    assert isinstance(records, Records)
    with pytest.warns(UserWarning, match=r"data.jsonl: the columns url are not read; those that are: text") as caught:
        assert list(records) == [{"text": "a\u00e9"}, {"text": "b"}, {"text": ""}]
    assert len(caught) == 1
    assert list(records) == [{"text": "a\u00e9"}, {"text": "b"}, {"text": ""}]
    assert records[-2] == {"text": "b"}
    assert records[1:] == [{"text": "b"}, {"text": ""}]
    assert records.location(1) == f"{path}:3"
    assert records.kind == "text"
    with pytest.raises(IndexError):
        records[3]


def test_jsonl_of_prompts_and_of_ids(tmp_path):
    pairs = open_records(jsonl(tmp_path / "p.jsonl", {"prompt": "a", "completion": "b"}))
    assert (pairs.kind, list(pairs)) == ("pair", [{"prompt": "a", "completion": "b"}])
    ids = open_records(jsonl(tmp_path / "i.jsonl", {"input_ids": [1, 2], "loss_mask": [0, 1]}))
    assert (ids.kind, ids[0]["loss_mask"]) == ("ids", [0, 1])


def test_txt_has_blank_lines_between_documents(tmp_path):
    path = tmp_path / "data.txt"
    path.write_bytes(b"\xef\xbb\xbf\n\n one\r\ntwo \r\n\r\n  \t\n\nthree\n\nfour")
    records = open_records(path)
    assert [record["text"] for record in records] == ["one\ntwo", "three", "four"]
    assert [records.location(i) for i in range(3)] == [f"{path}:{line}" for line in (3, 8, 10)]
    assert [location for location, _ in records.walk()] == [records.location(i) for i in range(3)]
    assert [record["text"] for record in open_records([path, path])] == ["one\ntwo", "three", "four"] * 2


@pytest.mark.parametrize(("name", "text"), [("a.txt.gz", "a\n\nb\n"), ("a.jsonl.gz", '{"text": "a"}\n{"text": "b"}\n')])
def test_gz(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()))
    records = open_records(path)
    assert [record["text"] for record in records] == ["a", "b"]
    assert records.location(1) == f"{path}:{3 if 'txt' in name else 2}"
    path.write_bytes(gzip.compress(text.encode() * 1000)[:-20])
    with pytest.raises(DataError, match=f"{name} is truncated or corrupt"):
        list(open_records(path).walk())


def test_gz_is_unpacked_again_where_the_copy_in_the_cache_is_broken(tmp_path, cache):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a\n\nb"))
    assert len(open_records(path)) == 2
    (copy,) = (cache / "datasets").glob("*/data")
    copy.write_bytes(b"a")
    assert len(open_records(path)) == 2


def test_folder_and_list_of_files(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "b.jsonl", {"text": "2"}, {"text": "3"})
    jsonl(folder / "a.jsonl", {"text": "1"})
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "4"}'))
    records = open_records(folder)
    assert [record["text"] for record in records] == ["1", "2", "3", "4"]
    assert records[3] == {"text": "4"}
    assert records[0] == {"text": "1"}
    assert records.location(2) == f"{folder / 'b.jsonl'}:2"
    assert len(open_records([str(folder / "b.jsonl"), str(folder / "a.jsonl")])) == 3
    (folder / "d.txt").write_text("x")
    with pytest.raises(DataError, match=r"2 kinds: jsonl \(a.jsonl\), txt \(d.txt\)"):
        open_records(folder)


def test_everything_in_a_folder_is_read_or_named(tmp_path):
    for name in ("a.jsonl", "B.JSONL", "sub/c.Jsonl", "sub/deeper/d.jsonl.GZ", ".git/e.jsonl", ".f.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"text": name}).encode()
        (tmp_path / name).write_bytes(gzip.compress(line) if name.endswith("GZ") else line)
    (tmp_path / "sub" / "notes.zzz").write_text("?")
    (tmp_path / ".DS_Store").write_text("?")
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=r"2 files are not read: \.f.jsonl, sub/notes.zzz; a data file is") as caught:
        records = open_records(tmp_path)
    assert len(caught) == 1
    names = ["B.JSONL", "a.jsonl", "sub/c.Jsonl", "sub/deeper/d.jsonl.GZ"]
    assert [record["text"] for record in records] == names


def test_lists_of_paths_are_distinguished_from_lists_of_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "a.jsonl", {"text": "a"})
    (tmp_path / "x.zzz").write_text("?")
    (tmp_path / "one").mkdir()
    jsonl(tmp_path / "one" / "b.jsonl", {"text": "b"})
    for given in (["a.jsonl", "x.zzz"], ["x.zzz"], [Path("a.jsonl"), "x.zzz"], ["x.zzz", "a.jsonl"]):
        with pytest.raises(DataError, match=r"x.zzz is not a data file of a known kind"):
            open_records(given)
    with pytest.raises(FileMissingError, match=r"nowhere.parquet"):
        open_records(["a.jsonl", "nowhere.parquet"])
    with pytest.raises(DataError, match="3 stands in a list of paths"):
        open_records([Path("a.jsonl"), 3])
    assert [record["text"] for record in open_records(["one"])] == ["b"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [record["text"] for record in open_records("~/a.jsonl")] == ["a"]
    for texts in (["see a.jsonl", "b"], ["one", "two"], ["no.such.file", "b"], ["x" * 5000 + ".txt", "b\0"]):
        assert [record["text"] for record in open_records(texts)] == texts


def test_paths_that_are_none(tmp_path):
    with pytest.raises(FileMissingError, match=r"nowhere.jsonl"):
        open_records("./nowhere.jsonl")
    with pytest.raises(FileMissingError, match=r"b.jsonl"):
        open_records([jsonl(tmp_path / "a.jsonl", {"text": "a"}), tmp_path / "b.jsonl"])
    (tmp_path / "notes.md").write_text("a,b")
    with pytest.raises(DataError, match=r"notes.md is not a data file of a known kind"):
        open_records(tmp_path / "notes.md")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("a,b")
    with pytest.raises(DataError, match="holds no data files") as caught:
        open_records(tmp_path / "empty")
    assert "notes.md" in caught.value.why
    (tmp_path / "blank.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"blank.txt is empty"):
        list(open_records(tmp_path / "blank.txt").walk())


BAD_LINES = [
    ("{", r"data.jsonl:2 is not a JSON object"),
    ("[]", r"data.jsonl:2 is not a JSON object with the key 'text'"),
    ('{"txt": "a"}', r"data.jsonl:2 is not a JSON object with the key 'text'"),
    ('{"prompt": "a"}', r"data.jsonl:2 is not"),
    ('{"text": 3}', r"data.jsonl:2: 'text' is a int"),
    ('{"text": null}', r"data.jsonl:2: 'text' is a NoneType"),
    ('{"text": "\\ud800"}', r"data.jsonl:2: 'text' contains a lone surrogate at character 0"),
    ('{"prompt": "a", "completion": "b"}', r"data.jsonl:2 holds 'prompt' and 'completion', and the first.*'text'"),
    ('{"text": "a", "prompt": "a", "completion": "b"}', r"data.jsonl:2 is ambiguous"),
    ("[" * 100_000, r"data.jsonl:2 is not a JSON object"),
    (b'{"text": "\xff"}', r"data.jsonl:2 is not UTF-8"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_bad_lines(tmp_path, line, message):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + (line if isinstance(line, bytes) else line.encode()) + b'\n{"text": "b"}\n')
    records = open_records(path)
    assert len(records) == 3
    for read in (lambda: records[1], lambda: list(records.walk())):
        with pytest.raises(DataError, match=message):
            read()
    assert records[2] == {"text": "b"}
    skipping = open_records(path, on_bad_record="skip")
    with pytest.warns(UserWarning, match=f"1 bad records are left out; the first: .*{message}"):
        assert [record["text"] for record in skipping] == ["a", "b"]
    assert skipping.skipped == 1
    assert skipping.location(1) == f"{path}:3"


def test_skip_warns_once_and_says_when_nothing_is_left(tmp_path):
    path = jsonl(tmp_path / "data.jsonl", "{", {"text": "a"}, "}", {"text": 3})
    records = open_records(path, on_bad_record="skip")
    assert records.kind == "text"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # what earlier tests left may be collected meanwhile
        assert len(records) == 1
        assert list(records.walk()) == [(f"{path}:2", {"text": "a"})]
        assert records[0] == {"text": "a"}
    assert [str(warning.message)[:60] for warning in caught] == [f"{path}: 3 bad records are left out"[:60]]
    with pytest.raises(DataError, match=r"bad.jsonl:1 is not a JSON object"):
        len(open_records(jsonl(tmp_path / "bad.jsonl", "{", "}"), on_bad_record="skip"))


# Objects ------------------------------------------------------------------------------------------------------------


def test_lists():
    assert list(open_records(["a", "b"])) == [{"text": "a"}, {"text": "b"}]
    assert open_records(["a.txt is a file", "b"]).kind == "text"
    assert list(open_records([{"prompt": "a", "completion": "b"}])) == [{"prompt": "a", "completion": "b"}]
    assert open_records([[1, 2], [3, 4]]).kind == "ids"
    records = open_records(np.arange(6).reshape(2, 3), name="eval_dataset")
    assert records[1]["input_ids"].tolist() == [3, 4, 5]
    assert records.location(1) == "eval_dataset, record 1"


def test_map_style_datasets_are_read_lazily():
    dataset = MapDataset([{"text": str(n)} for n in range(1000)])
    records = open_records(dataset)
    assert records[700] == {"text": "700"}
    assert set(dataset.asked) == {0, 700}
    assert len(records) == 1000


def test_torch_datasets():
    torch = pytest.importorskip("torch")

    class Tokens(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return {"input_ids": torch.arange(3) + index}

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield {"input_ids": torch.arange(3)}

    assert np.asarray(open_records(Tokens())[1]["input_ids"]).tolist() == [1, 2, 3]
    stream = open_records(Stream())
    assert isinstance(stream, RecordStream)
    assert stream.repeatable


def test_columns_that_are_not_read_are_named_once():
    records = open_records([{"input_ids": [1, 2], "labels": [1, 2], "attention_mask": [1, 1]}] * 3)
    with pytest.warns(UserWarning, match="columns attention_mask, labels are not read") as caught:
        assert list(records) == [{"input_ids": [1, 2]}] * 3
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "train_dataset is empty"),
        (np.zeros((0, 3), int), "train_dataset is empty"),
        ({"text": ["a"]}, "train_dataset is a dict"),
        (b"text", "train_dataset is a bytes"),
        (3, "train_dataset is a int"),
        (lambda: iter(["a"]), "train_dataset is a function, which is not called"),
    ],
)
def test_what_is_no_dataset(dataset, message):
    with pytest.raises(DataError, match=message):
        open_records(dataset)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (["a", 3], "train_dataset, record 1 holds ids, and the first record holds 'text'"),
        (["a", {"text": b"b"}], "train_dataset, record 1: 'text' is a bytes"),
        (["a", "\ud800"], "record 1: the text contains a lone surrogate"),
        ([{"text": "a"}, {"ids": [1]}], "train_dataset, record 1 is not a row of at least two ids: .{'ids'"),
    ],
)
def test_bad_items(dataset, message):
    with pytest.raises(DataError, match=message):
        list(open_records(dataset).walk())
    with pytest.warns(UserWarning, match=f"1 bad records are left out; the first: .*{message}"):
        assert len(open_records(dataset, on_bad_record="skip")) == 1


def test_on_bad_record_is_checked():
    with pytest.raises(ArgumentError, match="on_bad_record='ignore'"):
        open_records(["a"], on_bad_record="ignore")


# Streams ------------------------------------------------------------------------------------------------------------


def test_generator_is_read_once_and_loses_nothing():
    stream = open_records(text for text in ["a", "b"])
    assert isinstance(stream, RecordStream)
    assert not stream.repeatable
    assert stream.kind == "text"
    assert list(stream) == [("train_dataset, record 0", {"text": "a"}), ("train_dataset, record 1", {"text": "b"})]
    with pytest.raises(DataError, match="train_dataset has been read, and cannot be read again"):
        list(stream)


def test_iterable_is_read_again():
    class Twice:
        def __iter__(self):
            return iter(["a", "b"])

    stream = open_records(Twice())
    assert stream.repeatable
    for _ in range(3):
        assert [record["text"] for _, record in stream] == ["a", "b"]


def test_bad_records_of_a_stream():
    items = [3, "a", {"nothing": 1}, "b"]
    with pytest.raises(DataError, match="record 1 holds 'text'"):
        list(open_records(iter(items)))
    stream = open_records(iter(items[1:]), on_bad_record="skip")
    with pytest.warns(UserWarning, match="1 bad records are left out; the first: train_dataset, record 1"):
        assert [record["text"] for _, record in stream] == ["a", "b"]
    assert stream.skipped == 1
    with pytest.raises(DataError, match="is empty"):
        list(open_records(iter([])))


def test_opening_text_writes_nothing(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = jsonl(Path("data.jsonl"), {"text": "a"})
    assert list(open_records(path)) == [{"text": "a"}]
    assert open_records(path).location(0) == "data.jsonl:1"
    assert not cache.exists()
