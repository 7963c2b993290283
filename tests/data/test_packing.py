"""Texts into rows of ids, and the cache of them."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mf_core import AutoTokenizer
from mf_core.data import PackedStream, open_records, pack
from mf_core.errors import ArgumentError, DataError

from ..support.data_sources import Letters, show


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def packed(dataset, length, *, tokenizer=None, on_bad_record="error", **options):
    return pack(open_records(dataset, on_bad_record=on_bad_record), tokenizer or Letters(), length, **options)


def shown(rows, column="input_ids"):
    if column == "input_ids":
        return [show(row[column]) for row in rows]
    return ["".join(map(str, row[column].tolist())) for row in rows]


def random_texts(seed, count=60, longest=40):
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list("abcdefgh"), generator.integers(0, longest))) for _ in range(count)]


# Modes --------------------------------------------------------------------------------------------------------------


def test_join():
    rows = packed(["abcde", "", "fg", "hijklm"], 6)
    assert shown(rows) == ["abcde$", "$fg$hi", "jklm$_"]
    assert shown(rows, "loss_mask") == ["111111", "111111", "111110"]
    assert list(rows[0]) == ["input_ids", "loss_mask"]
    assert (rows[0]["input_ids"].dtype, rows[0]["loss_mask"].dtype) == (np.int32, np.uint8)
    assert (rows.documents, rows.tokens, rows.left, rows.skipped) == (4, 17, 0, 0)
    full = packed(["abc", "defghij"], 6)
    assert [list(row) for row in full] == [["input_ids"]] * 2


def test_join_without_a_pad_token():
    without = Letters(pad_token=None)
    rows = packed(["abcde", "fgh"], 6, tokenizer=without)
    assert (shown(rows), rows.left, list(rows[0])) == (["abcde$"], 4, ["input_ids"])
    assert shown(packed(["abc"], 6, tokenizer=without)) == ["abc$"]
    assert shown(packed(["abc", "def"], 3, tokenizer=Letters(eos_token=None))) == ["abc", "def"]


def test_apart():
    rows = packed(["abcd", "ef", "ghijk", "l", "mno", "pqrstuvwx"], 8, mode="apart")
    # abcd$ leaves 3, where ef$ fits; ghijk$ leaves 2, where l$ fits; the last one's rest goes where it fits best.
    assert shown(rows) == ["abcd$ef$", "ghijk$l$", "pqrstuvw", "mno$x$__"]
    assert shown(rows, "segment_ids") == ["11111222", "11111122", "11111111", "11112200"]
    assert shown(rows, "loss_mask") == ["11111111", "11111111", "11111111", "11111100"]
    assert rows[0]["segment_ids"].dtype == np.int32


def test_none():
    rows = packed(["abcdefgh", "ab", ""], 5, mode="none")
    assert shown(rows) == ["abcde", "ab$__", "$____"]
    assert shown(rows, "loss_mask") == ["11111", "11100", "10000"]
    assert (rows.documents, rows.tokens, rows.left) == (3, 13, 4)


PAIRS = [{"prompt": "abc", "completion": "de"}, {"prompt": "", "completion": "f"}, {"prompt": "ghij", "completion": ""}]


@pytest.mark.parametrize(
    ("mode", "ids", "mask"),
    [
        ("join", ["abcde$f", "$ghij$_"], ["0001111", "1000010"]),
        ("apart", ["abcde$_", "f$ghij$"], ["0001110", "1100001"]),
        ("none", ["abcde$_", "f$_____", "ghij$__"], ["0001110", "1100000", "0000100"]),
    ],
)
def test_prompts_are_no_targets(mode, ids, mask):
    if mode == "apart":
        ids, mask = ["f$ghij$", "abcde$_"], ["1100001", "0001110"]
    rows = packed(PAIRS, 7, mode=mode)
    assert (shown(rows), shown(rows, "loss_mask")) == (ids, mask)


def test_prompt_that_is_cut():
    rows = packed([{"prompt": "abcdefgh", "completion": "ij"}], 5, mode="apart")
    assert shown(rows) == ["abcde", "fghij", "$____"]
    assert shown(rows, "loss_mask") == ["00000", "00011", "10000"]


@pytest.mark.parametrize("mode", ["join", "apart", "none"])
def test_rows_without_targets_are_counted(mode):
    long, good = {"prompt": "abcde", "completion": "fghij"}, {"prompt": "a", "completion": "bcd"}
    given = [long, good, long] if mode == "none" else [{"prompt": "abcde" * 2, "completion": "bcdf"}]
    message = f"train_dataset: 2 of {3} rows have no target, as where a prompt fills the row"
    with pytest.warns(UserWarning, match=message):
        rows = packed(given, 5, mode=mode)
    assert (rows.untargeted, len(rows)) == (2, 3)
    with pytest.warns(UserWarning, match=message):  # of rows from the cache too
        packed(given, 5, mode=mode)
    with pytest.warns(UserWarning, match=message):
        list(packed(iter(given), 5, mode=mode))


def test_without_any_target_nothing_can_be_learnt():
    records = [{"prompt": "abcdefgh", "completion": "ij"}] * 3
    for given in (records, iter(records)):
        with pytest.raises(DataError, match="none of the 3 rows of train_dataset has a target") as caught:
            list(packed(given, 5, mode="none"))
        assert "max_seq_length" in caught.value.hint


@pytest.mark.parametrize("seed", range(12))
def test_join_loses_and_invents_nothing(seed):
    texts, length = random_texts(seed), 2 + seed * 3
    whole = "".join(shown(packed(texts, length)))
    joined = "".join(text + "$" for text in texts)
    assert whole == joined + "_" * (-len(joined) % length)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("as_stream", [False, True])
def test_apart_loses_nothing_and_mixes_nothing(seed, as_stream):
    texts, length = random_texts(seed, count=1500 if seed == 0 else 60), 2 + seed * 3
    rows = list(packed(iter(texts) if as_stream else texts, length, mode="apart"))
    pieces = []
    for row in rows:
        ids, segments = row["input_ids"], row["segment_ids"]
        filled = np.count_nonzero(segments)
        assert (segments[filled:] == 0).all()
        assert (ids[filled:] == 0).all()
        assert (ids[:filled] != 0).all()
        assert (row.get("loss_mask", 1) == (segments > 0)).all()
        last = int(segments.max())
        assert sorted(set(segments[:filled].tolist())) == list(range(1, last + 1))
        assert (np.diff(segments[:filled]) >= 0).all()
        pieces += [show(ids[segments == number]) for number in range(1, last + 1)]
    expected = []
    for text in texts:
        document = text + "$"
        expected += [document[i : i + length] for i in range(0, len(document), length)]
    assert sorted(pieces) == sorted(expected)
    assert shown(packed(texts, length, mode="apart")) == shown(rows)
    if length > 40:
        return
    # No two rows could be one, but for rows that were closed because too many were open.
    sizes = sorted(int(np.count_nonzero(row["segment_ids"])) for row in rows)
    assert len(sizes) < 2 or len(rows) > 512 or sizes[0] + sizes[1] > length


def test_apart_wastes_little():
    texts = random_texts(3, count=3000, longest=60)
    rows = packed(texts, 64, mode="apart")
    assert rows.tokens / (len(rows) * 64) > 0.95


def test_apart_with_more_open_rows_than_are_kept():
    # Rows with little room are closed first: the one with room for the last document is still open.
    texts = ["aaaaaaa", *["cccccccccccc"] * 600, "bbbbbbb"]
    rows = shown(packed(texts, 16, mode="apart"))
    assert len(rows) == 601
    assert "aaaaaaa$bbbbbbb$" in rows


# Streams ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["join", "apart", "none"])
def test_streams_give_the_same_rows(mode, cache):
    texts = random_texts(1)
    stream = packed((text for text in texts), 16, mode=mode)
    assert isinstance(stream, PackedStream)
    rows = list(stream)
    assert all("loss_mask" in row for row in rows)
    assert not cache.exists()
    assert shown(rows) == shown(packed(texts, 16, mode=mode))
    with pytest.raises(DataError, match="cannot be read again"):
        list(stream)


def test_streams_are_not_read_ahead_of_what_is_asked_for():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "abc"

    assert show(next(iter(packed(endless(), 8)))["input_ids"]) == "abc$abc$"
    assert read < 5000


# What cannot be -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_packed(tmp_path):
    with pytest.raises(DataError, match="train_dataset is text, and there is no tokenizer"):
        pack(open_records(["a"]), None, 8)
    with pytest.raises(DataError, match="train_dataset holds ids already"):
        packed([[1, 2]], 8)
    for dataset in (["", ""], iter([""]), [""]):
        with pytest.raises(DataError, match="train_dataset holds no text"):
            list(packed(dataset, 8, tokenizer=Letters(eos_token=None)))
    with pytest.raises(DataError, match="holds no text"):
        packed([""], 8)
    for mode in ("apart", "none"):
        with pytest.raises(DataError, match=f"mode '{mode}' fills rows up, and the tokenizer has no pad token"):
            packed(["a"], 8, mode=mode, tokenizer=Letters(pad_token=None))
    with pytest.raises(ArgumentError, match="mode='packed'"):
        packed(["a"], 8, mode="packed")
    with pytest.raises(ArgumentError, match="length=1"):
        packed(["a"], 1)
    with pytest.raises(ArgumentError, match="workers=-1"):
        packed(["a"], 8, workers=-1)
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n{\n')
    with pytest.raises(DataError, match=r"data.jsonl:2 is not a JSON object"):
        packed(tmp_path / "data.jsonl", 8)
    (tmp_path / "data.txt").write_text("\n")
    with pytest.raises(DataError, match=r"data.txt is empty"):
        packed(tmp_path / "data.txt", 8)


# The cache ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in random_texts(5)))
    return path


def count_encoded(call):
    before = Letters.encoded
    result = call()
    return result, Letters.encoded - before


def test_the_second_time_nothing_is_tokenised(data, tmp_path):
    first, encoded = count_encoded(lambda: packed(data, 16))
    assert encoded == 60
    second, encoded = count_encoded(lambda: packed(data, 16))
    assert (shown(second), encoded) == (shown(first), 0)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(data.read_bytes())
    assert count_encoded(lambda: packed(copy, 16))[1] == 0
    texts = random_texts(5)
    assert count_encoded(lambda: packed(texts, 16))[1] == 60
    assert count_encoded(lambda: packed(list(texts), 16))[1] == 0
    assert isinstance(first[0]["input_ids"].base, np.memmap | np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        first[0]["input_ids"][0] = 1


def test_another_content_tokenizer_length_or_mode_is_another_entry(data):
    class Other(Letters):
        def save_vocabulary(self, directory):
            (directory / "letters.txt").write_text("other")

    packed(data, 16)
    for change in (
        {"length": 17}, {"mode": "apart"}, {"mode": "none"}, {"tokenizer": Other()},
        {"tokenizer": Letters(eos_token=None)}, {"on_bad_record": "skip"},
    ):  # fmt: skip
        assert count_encoded(lambda change=change: packed(data, **{"length": 16, **change}))[1] == 60, change
    data.write_bytes(data.read_bytes()[:-4] + b'x"}\n')
    assert count_encoded(lambda: packed(data, 16))[1] == 60
    assert count_encoded(lambda: packed(["ab", "c"], 4))[1] == 2
    assert count_encoded(lambda: packed(["a", "bc"], 4))[1] == 2


def test_what_was_skipped_is_reported_again(data):
    data.write_text(data.read_text() + "{\n")
    for _ in range(2):
        records = open_records(data, on_bad_record="skip")
        with pytest.warns(UserWarning, match=r"1 bad records are left out; the first: .*data.jsonl:61 is not"):
            rows = pack(records, Letters(), 16)
        assert (rows.skipped, records.skipped) == (1, 1)
    with pytest.raises(DataError, match=r"data.jsonl:61"):
        packed(data, 16)


def damage_entry(folder, how):
    ids = folder / "input_ids.npy"
    if how == "shorter":
        os.truncate(ids, ids.stat().st_size - 4)
    elif how == "no array":
        ids.unlink()
    elif how == "no header":
        with ids.open("r+b") as file:
            file.write(bytes(32))
    elif how == "no facts":
        (folder / "meta.json").unlink()
    elif how == "facts of garbage":
        (folder / "meta.json").write_text("[1, {")
    else:
        (folder / "meta.json").write_text("[]")


@pytest.mark.parametrize(
    "how", ["shorter", "no array", "no header", "no facts", "facts of garbage", "facts of another form"]
)
def test_a_broken_entry_is_made_again(data, cache, how):
    rows = shown(packed(data, 16))
    (entry,) = (cache / "datasets").iterdir()
    damage_entry(entry, how)
    again, encoded = count_encoded(lambda: packed(data, 16))
    assert (shown(again), encoded) == (rows, 60)
    assert [path.name for path in (cache / "datasets").iterdir()] == [entry.name]
    assert count_encoded(lambda: packed(data, 16))[1] == 0


def test_an_error_leaves_nothing_in_the_cache(tmp_path, cache):
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n{\n')
    with pytest.raises(DataError):
        packed(tmp_path / "data.jsonl", 8)
    assert list((cache / "datasets").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be written to the cache") as caught:
        packed(["ab"], 2)
    assert "MF_CACHE" in caught.value.hint


def start(folder, code):
    (folder / "script.py").write_text(textwrap.dedent(code))
    root = os.path.dirname(os.path.dirname(__file__))
    return subprocess.Popen(
        [sys.executable, str(folder / "script.py")], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip


def test_two_processes_at_once(tmp_path, cache):
    # Each goes on only when both are tokenising.
    code = """
        import os, sys, time
        from mf_core.data import open_records, pack
        from tests.support.data_sources import Letters, show

        class Slow(Letters):
            def encode_batch(self, texts):
                open(f"ready-{os.getpid()}", "w").close()
                end = time.time() + 60
                while sum(name.startswith("ready-") for name in os.listdir()) < 2 and time.time() < end:
                    time.sleep(0.01)
                return super().encode_batch(texts)

        rows = pack(open_records(["abc", "def"]), Slow(), 4)
        print([show(row["input_ids"]) for row in rows], Slow.encoded)
    """
    both = [start(tmp_path, code) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (out, err) == ("['abc$', 'def$'] 2\n", "")
    assert len(list((cache / "datasets").iterdir())) == 1


# Tokenising in parallel ---------------------------------------------------------------------------------------------


def test_workers_give_the_same_rows(tmp_path):
    code = """
        from mf_core.data import open_records, pack
        from tests.support.data_sources import Letters, show

        if __name__ == "__main__":
            texts = ["ab" * (n % 7) for n in range(3000)]
            rows = pack(open_records(texts), Letters(), 16, workers=2)
            here = Letters.encoded
            assert [show(row["input_ids"]) for row in rows] == [
                show(row["input_ids"]) for row in pack(open_records(iter(texts)), Letters(), 16)
            ]
            print(here, Letters.encoded)
    """
    out, err = start(tmp_path, code).communicate(timeout=120)
    assert (out, err) == ("0 3000\n", "")


def test_workers_of_a_script_without_main(tmp_path):
    code = """
        from mf_core.data import open_records, pack
        from mf_core.errors import ArgumentError
        from tests.support.data_sources import Letters

        try:
            pack(open_records(["ab"]), Letters(), 16, workers=1)
        except ArgumentError as error:
            print(error)
    """
    out, _ = start(tmp_path, code).communicate(timeout=120)
    assert "workers=1: a process that tokenises has ended" in out
    assert 'if __name__ == "__main__":' in out


def test_a_tokenizer_that_cannot_go_to_another_process():
    class Local(Letters):
        pass

    with pytest.raises(ArgumentError, match="workers=1: Local cannot be sent to another process"):
        packed(["ab"], 16, tokenizer=Local(), workers=1)


def test_encode_batch_is_encode_of_each():
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    texts = ["Once upon a time", "", "<|endoftext|> a \u00e9\U0001f600", " " * 9, "x" * 3000]
    expected = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert tokenizer.encode_batch(texts) == expected
    assert Letters().encode_batch(["ab", ""]) == [[3, 4], []]
    for one in (tokenizer, Letters()):
        with pytest.raises(ArgumentError, match="lone surrogate at character 1"):
            one.encode_batch(["a", "b\ud800"])
        with pytest.raises(TypeError, match="a text is a string, not int"):
            one.encode_batch(["a", 3])

    class Upper(type(tokenizer)):
        def encode_text(self, text):
            return super().encode_text(text.upper())

    upper = Upper(backend=tokenizer.backend)
    assert upper.encode_batch(["once"]) == [tokenizer.encode("ONCE", add_special_tokens=False)]


def test_gpt2_texts_come_back():
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    texts = [f"Once upon a time there was a fox named Ada, number {n}." for n in range(40)]
    rows = packed(texts, 33, tokenizer=tokenizer)
    whole = tokenizer.decode(np.concatenate([row["input_ids"] for row in rows]))
    assert whole.replace("<|pad|>", "") == "".join(text + "<|endoftext|>" for text in texts)
