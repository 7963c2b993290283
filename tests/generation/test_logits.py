"""Logits processors and sampling, against values worked out by hand."""

import numpy as np
import pytest

from mf_core.errors import ArgumentError
from mf_core.generation.config import GenerationConfig
from mf_core.generation.constraints import MinLength, MinNewTokens
from mf_core.generation.logits import Sampler, log_softmax
from mf_core.generation.penalties import RepetitionPenalty
from mf_core.generation.processors import build_processors
from mf_core.generation.truncation import Temperature, TopK, TopP

INF = np.inf
OUTSIDE = (-1, 1, 3, 10**30)  # ids of which a vocabulary of 3 has but one


def rows(*values):
    return np.array(values, dtype=np.float32)


def log_probs(*probs):
    with np.errstate(divide="ignore"):
        return np.log(rows(probs))


def kept(logits):
    return [np.flatnonzero(row != -INF).tolist() for row in logits]


def test_temperature_divides():
    np.testing.assert_array_equal(Temperature(0.5)([[]], rows([1.0, -2.0, -INF])), rows([2.0, -4.0, -INF]))


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [4]), (2, [1, 2, 4]), (3, [1, 2, 4]), (4, [0, 1, 2, 4]), (5, [0, 1, 2, 3, 4]), (99, [0, 1, 2, 3, 4])],
)
def test_top_k_keeps_ties_with_the_kth(k, expected):
    assert kept(TopK(k)([[]], rows([0.0, 2.0, 2.0, -1.0, 3.0]))) == [expected]


def test_top_k_is_per_row_and_keeps_values():
    out = TopK(1)([[], []], rows([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]))
    np.testing.assert_array_equal(out, rows([-INF, -INF, 3.0], [3.0, -INF, -INF]))


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.3, [2]), (0.5, [2]), (0.51, [0, 2]), (0.75, [0, 2]), (0.8, [0, 2, 3]), (0.99, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p, expected):
    # Powers of two: the cumulative sums are exact, so p = 0.5 and 0.75 meet the limit itself.
    assert kept(TopP(p)([[]], log_probs(0.25, 0.0625, 0.5, 0.1875))) == [expected]


@pytest.mark.parametrize("vocab", [5, 1000])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_top_k_equals_sorting(vocab, k):
    logits = np.random.default_rng(vocab).normal(size=(4, vocab)).astype(np.float32).round(1)  # with ties
    kth = np.sort(logits, axis=-1)[:, -min(k, vocab), None]
    np.testing.assert_array_equal(TopK(k)([[]] * 4, logits), np.where(logits >= kth, logits, np.float32(-INF)))


def test_top_k_and_top_p_bring_no_forbidden_token_back():
    logits = rows([-INF, 1.0, -INF, 0.0])
    np.testing.assert_array_equal(TopK(3)([[]], logits), logits)
    np.testing.assert_array_equal(TopP(0.999)([[]], logits), logits)


def test_top_p_removes_the_lower_ids_of_a_tie_first():
    assert kept(TopP(0.5)([[]], rows([1.0, 1.0, 1.0, 1.0]))) == [[2, 3]]
    assert kept(TopP(0.5)([[]], np.zeros((1, 128), np.float32))) == [list(range(64, 128))]


def test_top_p_keeps_at_least_one_token():
    assert kept(TopP(1e-9)([[], []], rows([0.0, 5.0, 1.0], [1.0, 1.0, 1.0]))) == [[1], [2]]


def test_top_p_after_top_k_renormalises_over_the_survivors():
    logits = log_probs(0.4, 0.3, 0.2, 0.1)
    assert kept(TopP(0.5)([[]], logits)) == [[0, 1]]
    assert kept(TopP(0.5)([[]], TopK(2)([[]], logits))) == [[0]]


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999])
def test_top_p_equals_sorting_the_whole_vocabulary(scale, p):
    logits = (np.random.default_rng(5).normal(size=(4, 3000)) * scale).astype(np.float32)
    for row, got in zip(logits, kept(TopP(p)([[]] * 4, logits)), strict=True):
        order = np.argsort(row, kind="stable")
        probs = np.exp(row[order].astype(np.float64) - row.max())
        nucleus = order[(probs / probs.sum()).cumsum() > 1 - p]
        assert got == sorted(nucleus.tolist())


def test_repetition_penalty_is_sign_aware_and_counts_an_id_once():
    out = RepetitionPenalty(2.0)([[0, 1, 0, 0]], rows([4.0, -4.0, 1.0, -1.0]))
    np.testing.assert_array_equal(out, rows([2.0, -8.0, 1.0, -1.0]))


def test_repetition_penalty_equals_a_loop():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(3, 40)).astype(np.float32)
    history = [rng.integers(0, 40, size).tolist() for size in (0, 5, 60)]
    expected = logits.copy()
    for row, ids in zip(expected, history, strict=True):
        for index in set(ids):
            row[index] = row[index] * np.float32(1.3) if row[index] < 0 else row[index] / np.float32(1.3)
    np.testing.assert_array_equal(RepetitionPenalty(1.3)(history, logits), expected)


def test_repetition_penalty_counts_prompt_and_continuation_alike():
    (penalty,) = build_processors(GenerationConfig(repetition_penalty=2.0), prompt_lengths=[2])
    out = penalty([[0, 1, 2]], rows([4.0, 4.0, 4.0, 4.0]))  # 0 and 1 are the prompt
    np.testing.assert_array_equal(out, rows([2.0, 2.0, 2.0, 4.0]))


def test_repetition_penalty_leaves_forbidden_and_zero_logits():
    np.testing.assert_array_equal(RepetitionPenalty(2.0)([[0, 1]], rows([-INF, 0.0])), rows([-INF, 0.0]))


def test_repetition_penalty_takes_rows_of_different_lengths_and_ignores_foreign_ids():
    logits = rows([4.0, 4.0, 4.0], [4.0, 4.0, 4.0], [4.0, 4.0, 4.0])
    out = RepetitionPenalty(2.0)([[0], np.array([1, 2]), [-100, 3, 50]], logits)
    np.testing.assert_array_equal(out, rows([2.0, 4.0, 4.0], [4.0, 2.0, 2.0], [4.0, 4.0, 4.0]))


def test_min_length_counts_the_prompt_row_by_row():
    out = MinLength(3, (0, 2, 77))([[5, 5], [5, 5, 5]], rows([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(out, rows([-INF, 1.0, -INF], [1.0, 1.0, 1.0]))


def test_min_new_tokens_leaves_the_prompt_out():
    out = MinNewTokens(2, (1,), (3, 1))([[5, 5, 5, 5], [5, 5, 5]], rows([1.0, 1.0], [1.0, 1.0]))
    np.testing.assert_array_equal(out, rows([1.0, -INF], [1.0, 1.0]))


@pytest.mark.parametrize(
    ("settings", "first"),
    [({"min_length": 5}, 5), ({"min_new_tokens": 2}, 5), ({"min_length": 4, "min_new_tokens": 3}, 6), ({}, 3)],
)
def test_generation_may_end_from_the_right_length_on(settings, first):
    """A prompt of 3 ids; the end wins as soon as it may."""
    processors = build_processors(GenerationConfig(eos_token_id=1, **settings), prompt_lengths=[3])
    greedy, ids = Sampler(False, [None]), [5, 5, 5]
    while ids[-1] != 1:
        logits = rows([0.0, 9.0, 1.0])
        for processor in processors:
            logits = processor([ids], logits)
        ids.append(int(greedy(logits)[0]))
    assert len(ids) - 1 == first


@pytest.mark.parametrize("processor", [MinLength(9, OUTSIDE), MinNewTokens(9, OUTSIDE, (0,))])
def test_an_end_id_outside_the_vocabulary_is_ignored(processor):
    np.testing.assert_array_equal(processor([[5]], rows([1.0, 1.0, 1.0])), rows([1.0, -INF, 1.0]))


@pytest.mark.parametrize(
    "processor",
    [RepetitionPenalty(1.5), MinLength(9, (1,)), MinNewTokens(9, (1,), (1,)), Temperature(0.7), TopK(2), TopP(0.6)],
    ids=lambda processor: type(processor).__name__,
)
def test_processors_return_float32_and_leave_their_argument_alone(processor):
    logits = rows([1.0, -2.0, 0.5, 3.0])
    before = logits.copy()
    out = processor([[1]], logits)
    assert out.dtype == np.float32
    assert out.shape == logits.shape
    np.testing.assert_array_equal(logits, before)
    assert not np.array_equal(out, before)


def test_build_processors_in_order_and_only_those_that_are_on():
    assert build_processors(GenerationConfig()) == []
    config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=3, top_p=0.9, repetition_penalty=1.2,
        min_length=4, min_new_tokens=2, eos_token_id=(7, 8),
    )  # fmt: skip
    assert build_processors(config, prompt_lengths=[5, 6]) == [
        RepetitionPenalty(1.2), MinLength(4, (7, 8)), MinNewTokens(2, (7, 8), (5, 6)),
        Temperature(0.7), TopK(3), TopP(0.9),
    ]  # fmt: skip


def test_each_step_of_the_chain_sees_the_ones_before():
    config = GenerationConfig(
        do_sample=True, temperature=0.5, top_k=3, top_p=0.7, repetition_penalty=2.0, min_length=9, eos_token_id=0
    )
    logits = rows([9.0, 2.0, 1.0, 0.8, 0.7])
    before = logits.copy()
    out = logits
    out.flags.writeable = False
    for processor in build_processors(config):
        out = processor([[1, 4]], out)
        out.flags.writeable = False
    # Penalty: 1.0 and 0.35 for ids 1 and 4; no end; doubled: 2, 2, 1.6, 0.7; the three largest; of .375, .375, .25 the
    # smallest goes, summing to less than 0.3.
    np.testing.assert_array_equal(out, rows([-INF, 2.0, 2.0, -INF, -INF]))
    np.testing.assert_array_equal(logits, before)


def test_build_processors_for_greedy_leaves_the_sampling_ones_out():
    config = GenerationConfig(temperature=0.7, top_k=3, top_p=0.9, repetition_penalty=1.2)
    assert build_processors(config) == [RepetitionPenalty(1.2)]


def test_build_processors_min_length_without_eos_is_nothing():
    assert build_processors(GenerationConfig(min_length=4, min_new_tokens=4)) == []


def test_log_softmax():
    out = log_softmax(rows([1000.0, 1000.0, -INF], [0.0, np.log(3.0), -INF]))
    np.testing.assert_allclose(np.exp(out), [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]], rtol=1e-6)
    assert out.dtype == np.float32


def test_log_softmax_equals_float64():
    logits = (np.random.default_rng(4).normal(size=(3, 2000)) * 20 + 500).astype(np.float32)
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=-1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(log_softmax(logits), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("do_sample", [True, False])
def test_the_only_token_left_is_taken(do_sample):
    for index in range(5):
        logits = np.full((2, 5), -INF, np.float32)
        logits[:, index] = -3e38
        assert Sampler(do_sample, [0, 1])(logits).tolist() == [index, index]


@pytest.mark.parametrize("do_sample", [True, False])
def test_a_forbidden_token_is_never_taken_and_logits_are_not_written_to(do_sample):
    rng = np.random.default_rng(6)
    sampler = Sampler(do_sample, list(range(8)))
    for _ in range(100):
        logits = rng.normal(size=(8, 30)).astype(np.float32)
        logits[rng.random(logits.shape) < 0.8] = -INF
        logits[:, 29] = 0.0
        logits.flags.writeable = False
        assert (logits[np.arange(8), sampler(logits)] > -INF).all()


def test_greedy_needs_no_seeds_and_repeats_itself():
    logits = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    assert Sampler(False, [])(logits).tolist() == logits.argmax(axis=-1).tolist()


def test_greedy_takes_the_first_largest():
    ids = Sampler(False, [None, None])(rows([0.0, 2.0, 2.0], [3.0, -INF, 1.0]))
    assert ids.tolist() == [1, 0]
    assert ids.dtype == np.int64


def test_sampled_frequencies_follow_the_probabilities():
    probs = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    sampler, logits, draws = Sampler(True, [1234]), log_probs(*probs), 20_000
    counts = np.bincount([sampler(logits)[0] for _ in range(draws)], minlength=5)
    assert counts[1] == 0
    expected = draws * probs[probs > 0]
    chi_square = ((counts[probs > 0] - expected) ** 2 / expected).sum()
    assert chi_square < 16.27  # 3 degrees of freedom, p = 0.001


def test_sampled_frequencies_after_the_processors():
    """Top-k of 3 from 0.4, 0.3, 0.2, 0.1 leaves 4/9, 3/9 and 2/9."""
    (top_k,) = build_processors(GenerationConfig(do_sample=True, top_k=3))
    logits, draws = log_probs(0.4, 0.3, 0.2, 0.1), 4000
    batch = np.repeat(top_k([[]], logits), 4, axis=0)
    sampler = Sampler(True, [np.random.SeedSequence(9, spawn_key=(row,)) for row in range(4)])
    counts = np.bincount(np.concatenate([sampler(batch) for _ in range(draws // 4)]), minlength=4)
    assert counts[3] == 0
    expected = draws * np.array([4, 3, 2]) / 9
    assert ((counts[:3] - expected) ** 2 / expected).sum() < 13.82  # 2 degrees of freedom, p = 0.001


def test_copies_of_one_prompt_draw_differently_and_reproducibly():
    logits = rows(*np.zeros((3, 1000)))

    def draw():
        sampler = Sampler(True, [np.random.SeedSequence(5, spawn_key=(copy,)) for copy in range(3)])
        return np.stack([sampler(logits) for _ in range(5)], axis=1).tolist()

    first = draw()
    assert first == draw()
    assert len({tuple(ids) for ids in first}) == 3


def test_equal_seeds_draw_alike_and_other_seeds_otherwise():
    logits = rows(np.zeros(1000))

    def draw(seed):
        sampler = Sampler(True, [seed])
        return [int(sampler(logits)[0]) for _ in range(10)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(None) != draw(None)


def test_a_row_draws_the_same_alone_and_in_a_batch():
    logits = np.random.default_rng(0).normal(size=(20, 3, 500)).astype(np.float32)
    batch = Sampler(True, [11, 12, 13])
    together = [batch(step).tolist() for step in logits]
    for row, seed in enumerate([11, 12, 13]):
        alone = Sampler(True, [seed])
        assert [alone(step[row : row + 1])[0] for step in logits] == [ids[row] for ids in together]


class _Stream(np.random.Generator):
    """Always returns the given number."""

    def __init__(self, number):
        super().__init__(np.random.PCG64(0))
        self.number = number

    def random(self, *args, **kwargs):
        return self.number


@pytest.mark.parametrize("number", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_unit_interval_meet_no_impossible_token(number):
    # The tokens at both ends are forbidden or, at -200 in float64 beside 0, too unlikely to move the sum.
    for middle in np.random.default_rng(3).uniform(0.0, 5.0, size=(200, 5)):
        logits = rows([-INF, *middle, -200.0, -INF])
        assert 1 <= Sampler(True, [_Stream(number)])(logits)[0] <= 5


def test_a_token_whose_probability_underflows_is_not_drawn():
    assert Sampler(True, [_Stream(0.0)])(rows([-2000.0, 0.0])).tolist() == [1]


@pytest.mark.parametrize("do_sample", [True, False])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0.0, np.nan, 1.0], "the model returned NaN logits \\(row 1\\)"),
        ([0.0, INF, 1.0], "the model returned infinite logits \\(row 1\\)"),
        ([-INF, -INF, -INF], "row 1 has no token left to choose"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_unusable_logits_are_refused_also_after_the_processors(do_sample, bad, message):
    logits = rows([0.0, 1.0, 2.0], bad)
    for process in (None, RepetitionPenalty(1.1), Temperature(0.9), TopK(2), TopP(0.9)):
        processed = process([[0], [0]], logits) if process else logits
        with pytest.raises(ArgumentError, match=message):
            Sampler(do_sample, [0, 1])(processed)


def test_rows_and_seeds_must_agree():
    with pytest.raises(ArgumentError, match="2 rows of logits for 1 seeds"):
        Sampler(True, [0])(rows([0.0], [0.0]))
