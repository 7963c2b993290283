"""The cache of windowed layers gives its memory back, and texts stay what they are."""

import numpy as np
import pytest

from mf_core.backends.base import get_backend
from mf_core.errors import OutOfMemoryError
from mf_core.generation import windowed_memory
from mf_core.generation.direct import DirectStep
from mf_core.generation.rows import CachedRows
from mf_core.generation.windowed_memory import WindowedMemory

from ..support.decoder_families import small

WINDOWED = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], "seq_length": 2048}
TEXT = np.random.default_rng(0).integers(1, 60, 900).tolist()


@pytest.fixture(scope="module")
def model():
    made = small("llama", **WINDOWED)
    if made.decoder_arrays() is None:
        pytest.skip("the backend has no kernel for whole passes")
    return made


@pytest.fixture
def slack(monkeypatch):
    monkeypatch.setattr(windowed_memory, "SLACK", 64)


def whole(model, ids):
    """The logits after a text, by a cache from which nothing has been given back."""
    with CachedRows(model, 1) as rows:
        return rows.put([ids])[0, -1]


def test_memory_that_is_given_back_reads_as_zeros():
    memory = WindowedMemory((2, 2, 4096, 64), 16)
    memory.array[:] = 1
    assert memory.release(1, 0, 100) == 0  # too little
    assert memory.release(1, 0, 2000) == 2000
    assert memory.array[0].all() and memory.array[1, :, 2000:].all()
    pages = memory.array[1, :, 16:1984]  # whole pages of 16 slots
    assert not pages.any() or pages.all()  # zeros where the system gives memory back


def test_layers_without_a_window_keep_all():
    memory = WindowedMemory((1, 1, 4096, 64), 0)
    memory.array[:] = 1
    assert memory.release(0, 0, 2000) == 0 and memory.array.all()


def test_logits_are_those_of_a_whole_cache(model, slack, monkeypatch):
    with CachedRows(model, 2) as rows:
        got = [rows.put([TEXT[:300], TEXT[100:700]])[:, -1], rows.put([TEXT[300:800], TEXT[700:703]])[:, -1]]
        step = rows._step
        assert isinstance(step, DirectStep) and min(step._first[8]) > 100 and step._first[0] == [0, 0]
        rows.reorder([0, 0])  # the second becomes a copy of the first
        copied = rows.put([TEXT[800:801], TEXT[801:802]])[:, -1]
        rows.reserve(1500)  # a larger cache with the same content
        grown = rows.put([TEXT[801:810], TEXT[802:803]])[:, -1]
    monkeypatch.setattr(WindowedMemory, "release", lambda self, row, start, end: start)
    expected = [(TEXT[:300], TEXT[100:700]), (TEXT[:800], TEXT[100:703])]
    for logits, texts in zip(got, expected, strict=True):
        for row, text in enumerate(texts):
            np.testing.assert_allclose(logits[row], whole(model, text), atol=2e-5)
    np.testing.assert_allclose(copied[0], whole(model, TEXT[:801]), atol=2e-5)
    np.testing.assert_allclose(copied[1], whole(model, TEXT[:800] + TEXT[801:802]), atol=2e-5)
    np.testing.assert_allclose(grown[0], whole(model, TEXT[:810]), atol=2e-5)
    np.testing.assert_allclose(grown[1], whole(model, TEXT[:800] + TEXT[801:803]), atol=2e-5)


def test_a_text_that_is_truncated_far_is_computed_again(model, slack):
    with CachedRows(model, 1) as rows:
        rows.put([TEXT])
        del rows.cached[0][880:]  # within what is kept
        near = rows.put([[5]])[0, -1]
        del rows.cached[0][500:]
        far = rows.put([[5]])[0, -1]
        assert rows.cached[0] == [*TEXT[:500], 5]
        missing = rows.keep_prefix(0, TEXT[:100])
        again = rows.put([missing])[0, -1]
        rows.put([TEXT[100:]])
        assert rows.keep_prefix(0, TEXT[:100]) == TEXT[:100]
    np.testing.assert_allclose(near, whole(model, [*TEXT[:880], 5]), atol=2e-5)
    np.testing.assert_allclose(far, whole(model, [*TEXT[:500], 5]), atol=2e-5)
    np.testing.assert_allclose(again, whole(model, TEXT[:100]), atol=2e-5)


def test_the_size_of_the_cache_is_known_before(model, caplog):
    config = model.config  # 2 layers of 2 key-value heads, 8 wide
    per_token = 2 * 2 * 8 * 4
    assert type(model).cache_nbytes(config, 1, 100) == 2 * 100 * per_token
    windowed = config.replace(sliding_window=16, seq_length=32768)
    kept = 16 + 2 * windowed_memory.SLACK + 512
    assert type(model).cache_nbytes(windowed, 3, 32768) == 3 * (32768 + kept) * per_token
    with caplog.at_level("INFO", "mf_core"), CachedRows(model, 1) as rows:
        rows.put([TEXT[:100]])
    assert "the cache of one text of up to 100 tokens takes up to 3.28e-05 GB" in caplog.text


def test_a_cache_that_is_larger_than_the_machine(model, monkeypatch):
    monkeypatch.setattr(get_backend(), "memory_total", lambda: 10_000)
    with pytest.raises(OutOfMemoryError, match=r"the cache of one text of 101 tokens takes 3\.28e-05 GB"):
        model.generate([TEXT[:99]], max_new_tokens=3)
