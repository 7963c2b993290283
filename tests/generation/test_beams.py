"""Beam search, against looking at every text."""

import itertools

import mindspore as ms
import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.generation.beams import largest
from mf_core.generation.logits import log_softmax
from mf_core.generation.rows import CachedRows

VOCAB = 12


@pytest.fixture(scope="module")
def model():
    set_seed(7)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, hidden_size=16, num_layers=2, num_heads=2, seq_length=32, initializer_range=0.5,
                   eos_token_id=0)
    )  # fmt: skip


def scores(model, texts, start):
    """The log-probabilities of what follows the first ``start`` ids of each text."""
    logits = log_softmax(model(ms.Tensor(texts, ms.int32)).asnumpy())
    return [
        float(row[np.arange(start - 1, len(ids) - 1), ids[start:]].sum())
        for row, ids in zip(logits, texts, strict=True)
    ]


def test_with_enough_beams_the_likeliest_text_is_found(model):
    texts = [[3, 4, *new] for new in itertools.product(range(VOCAB), repeat=2)]
    ranked = sorted(zip(scores(model, texts, 2), texts, strict=True), reverse=True)[:3]
    options = {"num_beams": VOCAB, "num_return_sequences": 3, "max_new_tokens": 2, "do_sample": False}
    output = model.generate([3, 4], eos_token_id=None, return_dict_in_generate=True, **options)
    assert output.sequences == [ids for _, ids in ranked]
    np.testing.assert_allclose(output.scores, [score / 2 for score, _ in ranked], rtol=1e-4)


def test_prompts_get_what_they_get_alone_in_any_batch(model):
    prompts = [[3, 4], [5], [7, 8, 9, 10], [11, 2, 2]]
    options = {"num_beams": 3, "max_new_tokens": 12, "do_sample": False, "num_return_sequences": 2}
    together = model.generate(prompts, **options)
    assert together == [row for prompt in prompts for row in model.generate(prompt, **options)]
    assert model.generate(prompts, batch_size=6, **options) == together


def test_draws_within_beams_go_by_the_seed(model):
    options = {"num_beams": 3, "max_new_tokens": 10, "temperature": 3.0, "eos_token_id": None}
    assert model.generate([3], seed=1, **options) == model.generate([3], seed=1, **options)
    assert len({tuple(model.generate([3], seed=seed, **options)[0]) for seed in range(5)}) > 1


def test_rows_are_copied_and_not_computed_again(model, monkeypatch):
    taken = []
    put = CachedRows.put
    monkeypatch.setattr(CachedRows, "put", lambda self, tokens, *a: taken.append(tokens) or put(self, tokens, *a))
    model.generate([3, 4, 5], num_beams=4, max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert taken[0] == [[3, 4, 5]]
    assert all(len(row) == 1 for tokens in taken[1:] for row in tokens)


def test_the_cache_of_a_reordered_row_is_the_others(model):
    with CachedRows(model, 3) as rows:
        rows.put([[3, 4], [5, 6], [7, 8, 9]])
        rows.reorder([2, 0, 2])
        assert rows.cached == [[7, 8, 9], [3, 4], [7, 8, 9]]
        rows.reorder([1, 1, 1])
        logits = rows.put([[1], [1], [2]])[:, -1]
        assert rows.cached == [[3, 4, 1], [3, 4, 1], [3, 4, 2]]
    for row, ids in zip(logits, rows.cached, strict=True):
        np.testing.assert_allclose(row, model(ms.Tensor([ids], ms.int32)).asnumpy()[0, -1], atol=2e-5)


@pytest.mark.parametrize("size", [1, 255, 256, 600, 5000])
def test_the_largest_are_found_in_any_number_of_values(size):
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    values[::3] = -np.inf
    for count in {1, min(7, size), size}:
        assert sorted(values[largest(values, count)], reverse=True) == sorted(values, reverse=True)[:count]
        assert (np.diff(values[largest(values, count)][: size // 2]) <= 0).all()
