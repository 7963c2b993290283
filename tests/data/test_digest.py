"""Two datasets are distinguished by their content."""

import shutil

import numpy as np
import pytest

from mf_core.data import content_digest, open_records, pack, rows

from ..support.data_sources import Letters


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))


class ComputedDataset:
    def __init__(self, count, item):
        self.count, self.item, self.asked = count, item, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked += 1
        return self.item(index)


def of_texts(texts, length=4, **options):
    return content_digest(pack(open_records(texts), Letters(), length, **options))


def of_ids(ids):
    return content_digest(rows(open_records(ids), vocab_size=99, max_length=9))


def test_texts(tmp_path):
    texts = ["abc", "de", "fgh"]
    digest = of_texts(texts)
    assert digest == of_texts(list(texts))
    assert len({digest, of_texts(["abc", "de", "fgi"]), of_texts(["de", "abc", "fgh"]), of_texts(texts, 5),
                of_texts(texts, mode="none")}) == 5  # fmt: skip
    path = tmp_path / "a.txt"
    path.write_text("abc\n\nde")
    first = of_texts(path)
    shutil.copy(path, tmp_path / "b.txt")
    assert of_texts(tmp_path / "b.txt") == first
    path.write_text("abc\n\ndf")
    assert of_texts(path) != first


def test_ids(tmp_path):
    import mindspore as ms

    ids = [[1, 2, 3], [4, 5, 6]]
    digest = of_ids(ids)
    assert digest == of_ids([list(row) for row in ids]) == of_ids([np.array(row, np.uint8) for row in ids])
    assert digest == of_ids([ms.Tensor(row) for row in ids])
    assert len({digest, of_ids([[1, 2, 3], [4, 5, 7]]), of_ids([[1, 2, 3]])}) == 3
    assert of_ids(np.array(ids)) == of_ids(np.array(ids, np.int32)) != of_ids(np.array(ids) + 1)
    np.save(tmp_path / "a.npy", np.array(ids))
    first = of_ids(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array(ids) + 1)
    assert of_ids(tmp_path / "a.npy") != first
    long = np.arange(5000) % 99
    assert content_digest([{"input_ids": long}]) != content_digest([{"input_ids": np.where(long == 50, 51, long)}])


def test_items_that_are_made_on_access_are_sampled():
    def other(count, shift=0):
        return ComputedDataset(count, lambda index: [index % 90, (index + shift) % 90])

    data = other(100_000)
    digest = of_ids(data)
    assert data.asked < 300
    assert digest == of_ids(other(100_000))
    assert len({digest, of_ids(other(100_001)), of_ids(other(100_000, 1))}) == 3


def test_what_cannot_be_compared():
    generator = np.random.default_rng(0)
    assert of_ids(iter([[1, 2]])) is None
    assert content_digest(pack(open_records(iter(["abc"])), Letters(), 4)) is None
    assert of_ids(ComputedDataset(9, lambda _: generator.integers(0, 9, 3))) is None  # another row each time
    assert content_digest([object()]) is None
    assert content_digest({"text": ["a"]}) is None
    assert content_digest([]) is not None


def test_examples_of_any_recipe():
    one = [{"text": "a", "label": 1, "image": np.ones((2, 2), np.float32)}, ("b", None, 1.5, b"x", True)]
    assert content_digest(one) == content_digest([dict(one[0]), tuple(one[1])])
    others = [
        [{**one[0], "label": 2}, one[1]], [{**one[0], "image": np.zeros((2, 2), np.float32)}, one[1]],
        [one[0], ("b", None, 1.5, b"x", False)], [{"textlabel": "a", "": 1}], ["ab", "c"], ["a", "bc"],
        [["a", "b"], "c"], [1, 2], ["1", "2"], [[1], [2]], [[1, 2]],
    ]  # fmt: skip
    digests = [content_digest(examples) for examples in (one, *others)]
    assert None not in digests
    assert len(set(digests)) == len(digests)
