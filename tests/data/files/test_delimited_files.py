"""Comma- and tab-separated files, and labelled records of any kind of file."""

import csv
import gzip
import json

import pytest

from mf_core.data import open_records
from mf_core.errors import DataError

LABELLED = {"fields": ("text", "label"), "optional": ("text_pair",)}


def test_csv_of_texts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes('\ufefftext,url\r\none,u\r\n\r\n"two, with ""marks""\nand a line",v\r\nthrée,\r\n'.encode())
    records = open_records(path)
    with pytest.warns(UserWarning, match="the columns url are not read; those that are: text"):
        assert [record["text"] for record in records] == ["one", 'two, with "marks"\nand a line', "thrée"]
    assert records.kind == "text"
    assert records[1]["text"].startswith("two")
    assert [records.location(i) for i in range(3)] == [f"{path}:{line}" for line in (2, 4, 6)]
    assert [location for location, _ in records.walk()] == [records.location(i) for i in range(3)]


def test_tsv_and_gz(tmp_path):
    path = tmp_path / "a.TSV.gz"
    path.write_bytes(gzip.compress(b'prompt\tcompletion\nsay "hi\thi\n5" wide\tyes, it is\n'))
    records = open_records(tmp_path)
    assert list(records) == [
        {"prompt": 'say "hi', "completion": "hi"}, {"prompt": '5" wide', "completion": "yes, it is"}
    ]  # fmt: skip


@pytest.fixture
def small_fields():
    before = csv.field_size_limit(8000)  # Python's 131072, unless a library has set another
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("small_fields")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1,2\n", r"a.csv:2 has 3 fields, and the header has 2"),
        ("a\n", r"a.csv:2 has 1 fields, and the header has 2"),
        ('a "quoted" word,1\n"b" c,1\n', r"a.csv:3 is malformed"),
        ('"never closed,1\nb,1\n', r"a.csv:2 is malformed"),
        ('5" pipe,1\nb,1\n', r"a.csv:2 is malformed"),
        ("x" * 9000 + ",1\n", r"a.csv:2 is malformed"),
    ],
)
def test_malformed_csv(tmp_path, rows, message):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + rows)
    with pytest.raises(DataError, match=message) as caught:
        list(open_records(path, **LABELLED).walk())
    assert caught.value.why
    assert caught.value.hint
    assert ("jsonl" in caught.value.hint) == rows.startswith("xx")


def test_csv_without_the_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sentence,class\na,1\n")
    with pytest.raises(DataError, match=r"a.csv:2 has no column 'text'") as caught:
        open_records(path).kind  # noqa: B018
    assert "the columns are sentence, class" in caught.value.why
    with pytest.raises(DataError, match=r"a.csv:2 has no 'text', 'label'; it has: 'sentence', 'class'"):
        open_records(path, **LABELLED).kind  # noqa: B018
    path.write_text("text,text\na,1\n")
    with pytest.raises(DataError, match="several columns named 'text'"):
        open_records(path).kind  # noqa: B018
    path.write_text("text,label\n")
    with pytest.raises(DataError, match="is empty"):
        list(open_records(path).walk())


def test_labelled_records_of_every_source(tmp_path):
    rows = [{"text": "a, b", "label": "good", "text_pair": "c"}, {"text": "", "label": "bad", "text_pair": ""}]
    (tmp_path / "a.csv").write_text('text,label,text_pair\n"a, b",good,c\n,bad,\n')
    (tmp_path / "a.tsv").write_text("label\ttext\ttext_pair\ngood\ta, b\tc\nbad\t\t\n")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = [rows[0], {"text": "", "label": "bad"}]
    for source in (tmp_path / "a.csv", tmp_path / "a.tsv"):
        records = open_records(source, **LABELLED)
        assert (records.kind, list(records)) == ("fields", wanted)
    for source in (tmp_path / "a.jsonl", rows, iter(rows)):
        records = open_records(source, **LABELLED)
        assert records.kind == "fields"
        assert [record for _, record in records.walk()] == rows
    tags = [{"tokens": ["a", "b"], "tags": [0, 1], "id": 3}]
    with pytest.warns(UserWarning, match="the columns id are not read; those that are: tokens, tags"):
        assert list(open_records(tags, fields=("tokens", "tags"))) == [{"tokens": ["a", "b"], "tags": [0, 1]}]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"text": "a"}, "record 1 has no 'label'; it has: 'text'"),
        ({"text": None, "label": 1}, "record 1 has no 'text'"),
        ({}, "record 1 has no 'text', 'label'; it has: nothing"),
        ("a text", "record 1 is a str, not a mapping with 'text', 'label'"),
        ({"text": "\ud800", "label": 1}, "record 1: 'text' contains a lone surrogate"),
    ],
)
def test_records_that_lack_fields(item, message):
    good = {"text": "a", "label": 0}
    with pytest.raises(DataError, match=message):
        list(open_records([good, item], **LABELLED).walk())
    with pytest.warns(UserWarning, match=f"1 bad records are left out; the first: .*{message}"):
        assert list(open_records([good, item], on_bad_record="skip", **LABELLED)) == [good]


def test_files_of_ids_have_no_fields(tmp_path):
    import numpy as np

    np.save(tmp_path / "a.npy", np.ones((2, 3), int))
    with pytest.raises(DataError, match="holds ids, and the task needs the fields 'text', 'label'"):
        open_records(tmp_path / "a.npy", **LABELLED)
