"""Records that hold ids, checked as they are read."""

import numpy as np
import pytest

from mf_core.data import open_records, rows
from mf_core.errors import DataError, InputTooLongError

from ..support.data_sources import MapDataset


def checked(dataset, *, vocab_size=64, max_length=33, **options):
    return rows(open_records(dataset, **options), vocab_size=vocab_size, max_length=max_length)


def forms():
    torch = pytest.importorskip("torch")
    import mindspore as ms

    ids = [[1, 2, 3], [4, 5, 6]]
    return {
        "lists": ids, "tuples": [tuple(row) for row in ids], "array": np.array(ids),
        "unsigned": np.array(ids, np.uint8), "dicts": [{"input_ids": row} for row in ids],
        "torch": [torch.tensor(row) for row in ids],
        "torch matrix": torch.tensor(ids), "mindspore": [ms.Tensor(row) for row in ids], "lazy": MapDataset(ids),
    }  # fmt: skip


def test_all_forms_of_rows_are_the_same():
    for name, dataset in forms().items():
        made = checked(dataset)
        assert [row["input_ids"].tolist() for row in made] == [[1, 2, 3], [4, 5, 6]], name
        assert all(row["input_ids"].dtype == np.int32 and list(row) == ["input_ids"] for row in made), name


def test_masks_and_segments():
    record = {"input_ids": [1, 2, 3], "loss_mask": [False, True, True], "segment_ids": [1, 1, 2], "loss_mask2": 3}
    with pytest.warns(UserWarning, match="loss_mask2"):
        row = checked([record])[0]
    assert (row["loss_mask"].dtype, row["loss_mask"].tolist()) == (np.uint8, [0, 1, 1])
    assert (row["segment_ids"].dtype, row["segment_ids"].tolist()) == (np.int32, [1, 1, 2])


GOOD = [1, 2, 3]
BAD = [
    ([1, 2], DataError, "record {} has 2 ids, record 0 has 3"),
    ([1, 2, 64], DataError, "record {} has an id outside the vocabulary of 64"),
    ([1, 2, -1], DataError, "record {} has an id outside the vocabulary of 64"),
    ([0.5, 1.0, 2.0], DataError, "record {} is not a row of at least two ids: .* 1.0"),
    ([True, False, True], DataError, "record {} is not a row"),
    ([3], DataError, "record {} is not a row"),
    (7, DataError, "record {} is not a row of at least two ids: '7'"),
    (None, DataError, "record {} is not a row"),
    ([[1, 2, 3]], DataError, "record {} is not a row"),
    ([[1, 2], [3]], DataError, "record {} is not a row"),
    (["a", "b", "c"], DataError, "record {} is not a row"),
    ({"ids": [1, 2, 3]}, DataError, "record {} is not a row of at least two ids: .{{'ids'"),
    ({"input_ids": "abc"}, DataError, "record {} is not a row"),
    (list(range(34)), InputTooLongError, "record {} has 34 ids; a row may have 33"),
    ({"input_ids": GOOD, "loss_mask": [1, 1, 1]}, DataError, "record {} has input_ids, loss_mask, and record 0 has"),
    ({"input_ids": GOOD, "loss_mask": [1, 1]}, DataError, "record {}: loss_mask is not 3 zeros and ones"),
    ({"input_ids": GOOD, "loss_mask": [0, 1, 2]}, DataError, "record {}: loss_mask is not 3 zeros and ones"),
    ({"input_ids": GOOD, "segment_ids": [1, 1, -2]}, DataError, "record {}: segment_ids is not 3 whole numbers from 0"),
    ("abc", DataError, "record {} holds 'text', and the first record holds ids"),
]


@pytest.mark.parametrize(("item", "error", "message"), BAD)
def test_bad_rows(item, error, message):
    dataset = [GOOD, GOOD, item, GOOD]
    expected = "train_dataset, " + message.format(2)
    with pytest.raises(error, match=expected):
        checked(dataset)
    lazily = checked(MapDataset(dataset))
    assert lazily[3]["input_ids"].tolist() == GOOD
    with pytest.raises(error, match=expected):
        lazily[2]
    with pytest.raises(error, match=expected):
        list(checked(iter(dataset)))
    for given in (dataset, MapDataset(dataset)):
        with pytest.warns(UserWarning, match=f"1 bad records are left out; the first: {expected}"):
            left = checked(given, on_bad_record="skip")
        assert [row["input_ids"].tolist() for row in left] == [GOOD] * 3
        assert left.skipped == 1
    stream = checked(iter(dataset), on_bad_record="skip")
    with pytest.warns(UserWarning, match=f"1 bad records are left out; the first: {expected}"):
        assert len(list(stream)) == 3
    assert stream.skipped == 1


def test_a_bad_first_row_is_named_at_once_even_where_all_else_is_lazy():
    with pytest.raises(DataError, match="record 0 is not a row"):
        checked(MapDataset([[0.5, 1.0], GOOD]))
    with pytest.warns(UserWarning, match="record 0 is not a row"):
        assert len(checked([[0.5, 1.0], GOOD, GOOD], on_bad_record="skip")) == 2


def test_nothing_good_is_left():
    with pytest.raises(InputTooLongError, match="record 0 has 34 ids"):
        checked([list(range(34))] * 3, on_bad_record="skip")


def test_rows_are_asked_for_one_at_a_time():
    dataset = MapDataset([[n % 50, 1, 2] for n in range(20_000)])
    made = checked(dataset)
    assert made[12_345]["input_ids"][0] == 45
    assert set(dataset.asked) == {0, 12_345}


def test_text_is_not_rows():
    with pytest.raises(DataError, match="train_dataset holds text, not ids"):
        checked(["a text"])


def test_streams_of_rows():
    stream = checked([n, n + 1] for n in range(3))
    assert not stream.repeatable
    assert [row["input_ids"].tolist() for row in stream] == [[0, 1], [1, 2], [2, 3]]
    with pytest.raises(DataError, match="cannot be read again"):
        list(stream)
