"""Logits processors against those of ``transformers``: the same tokens survive, with the same values."""

import numpy as np
import pytest

from mf_core.generation.config import GenerationConfig
from mf_core.generation.constraints import MinLength, MinNewTokens
from mf_core.generation.logits import log_softmax
from mf_core.generation.penalties import RepetitionPenalty
from mf_core.generation.processors import build_processors
from mf_core.generation.truncation import Temperature, TopK, TopP

pytestmark = pytest.mark.parity

VOCABS = [2, 5, 17, 1000, 50257]
KINDS = ["random", "ties", "forbidden"]


def make(kind, vocab, batch=3, length=12):
    """Return history [batch, length] and logits [batch, vocab]: peaked, coarsely rounded, or with -inf among them."""
    rng = np.random.default_rng(vocab)
    logits = rng.normal(scale=4.0, size=(batch, vocab)).astype(np.float32)
    if kind == "ties":
        logits = np.round(logits)
    if kind == "forbidden":
        logits[:, 1:][rng.random((batch, vocab - 1)) < 0.3] = -np.inf
    return rng.integers(0, vocab, size=(batch, length)), logits


def theirs(processor, history, logits):
    import torch

    return processor(torch.from_numpy(history), torch.from_numpy(logits.copy())).numpy()


def check(mine, reference, kind, vocab):
    history, logits = make(kind, vocab)
    np.testing.assert_array_equal(mine(history.tolist(), logits), theirs(reference, history, logits))


def assert_same_nucleus(out, expected, tied):
    """Which of tokens that tie at the edge of the nucleus stay is open: torch's sort is not stable. How many is not."""
    if tied:
        out, expected = np.sort(out), np.sort(expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0])
def test_temperature(kind, vocab, temperature):
    from transformers import TemperatureLogitsWarper

    check(Temperature(temperature), TemperatureLogitsWarper(temperature), kind, vocab)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("k", [1, 2, 5, 50, 100_000])
def test_top_k(kind, vocab, k):
    from transformers import TopKLogitsWarper

    check(TopK(k), TopKLogitsWarper(k), kind, vocab)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9, 0.99])
def test_top_p(kind, vocab, p):
    from transformers import TopPLogitsWarper

    history, logits = make(kind, vocab)
    expected = theirs(TopPLogitsWarper(p), history, logits)
    assert_same_nucleus(TopP(p)(history.tolist(), logits), expected, tied=kind == "ties")


@pytest.mark.parametrize("vocab", [2, 4, 16, 256])
@pytest.mark.parametrize("p", [0.25, 0.5, 0.75, 1.0])
def test_top_p_at_the_exact_limit(vocab, p):
    from transformers import TopPLogitsWarper

    history, logits = np.zeros((2, 1), np.int64), np.zeros((2, vocab), np.float32)
    expected = theirs(TopPLogitsWarper(p), history, logits)
    assert_same_nucleus(TopP(p)(history.tolist(), logits), expected, tied=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("penalty", [0.5, 1.2, 5.0])
def test_repetition_penalty(kind, vocab, penalty):
    from transformers import RepetitionPenaltyLogitsProcessor

    check(RepetitionPenalty(penalty), RepetitionPenaltyLogitsProcessor(penalty), kind, vocab)


@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("least", [5, 12, 13, 40])
@pytest.mark.parametrize("eos", [(1,), (0, 16)])
def test_min_length(vocab, least, eos):
    from transformers import MinLengthLogitsProcessor

    check(MinLength(least, eos), MinLengthLogitsProcessor(least, list(eos)), "random", vocab)


@pytest.mark.parametrize("least", [0, 2, 3, 9])
def test_min_new_tokens(least):
    from transformers import MinNewTokensLengthLogitsProcessor

    mine = MinNewTokens(least, (1, 5), (10, 10, 10))
    check(mine, MinNewTokensLengthLogitsProcessor(10, least, [1, 5]), "random", 17)


def test_log_softmax():
    import torch

    _, logits = make("forbidden", 1000)
    expected = torch.from_numpy(logits).log_softmax(-1).numpy()
    np.testing.assert_allclose(log_softmax(logits), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("vocab", [5, 1000, 50257])
def test_rows_of_different_lengths_equal_each_row_by_itself(vocab, batch):
    """Padding apart: ``transformers`` is given one row at a time, without any."""
    import transformers

    rng = np.random.default_rng(batch)
    logits = rng.normal(scale=4.0, size=(batch, vocab)).astype(np.float32)
    prompts = rng.integers(1, 12, batch).tolist()
    history = [rng.integers(0, vocab, prompt + 3) for prompt in prompts]
    config = GenerationConfig(
        do_sample=True, temperature=0.8, top_k=20, top_p=0.95, repetition_penalty=1.4,
        min_length=9, min_new_tokens=4, eos_token_id=(1, 3),
    )  # fmt: skip
    out = logits
    for processor in build_processors(config, prompts):
        out = processor(history, out)
    for row, (prompt, ids) in enumerate(zip(prompts, history, strict=True)):
        chain = transformers.LogitsProcessorList(
            [
                transformers.RepetitionPenaltyLogitsProcessor(1.4),
                transformers.MinLengthLogitsProcessor(9, [1, 3]),
                transformers.MinNewTokensLengthLogitsProcessor(prompt, 4, [1, 3]),
                transformers.TemperatureLogitsWarper(0.8),
                transformers.TopKLogitsWarper(20),
                transformers.TopPLogitsWarper(0.95),
            ]
        )
        np.testing.assert_array_equal(out[row : row + 1], theirs(chain, ids[None], logits[row : row + 1]))


@pytest.mark.parametrize("kind", ["random", "ties"])
def test_the_whole_chain_in_the_order_that_generate_uses(kind):
    """The list that ``generate`` would build, taken from the method that builds it."""
    import torch
    from transformers import GenerationConfig as TheirConfig
    from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList

    settings = {
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 40,
        "top_p": 0.9,
        "repetition_penalty": 1.3,
        "min_length": 30,
        "min_new_tokens": 5,
        "eos_token_id": 3,
    }
    history, logits = make(kind, 1000)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=1))
    their_config = TheirConfig(**settings)
    their_config._eos_token_tensor = torch.tensor([3])
    reference = model._get_logits_processor(
        generation_config=their_config,
        input_ids_seq_length=10,
        encoder_input_ids=torch.from_numpy(history),
        logits_processor=LogitsProcessorList(),
    )
    out, ours = logits, build_processors(GenerationConfig(**settings), prompt_lengths=[10] * 3)
    for processor in ours:
        out = processor(history.tolist(), out)
    names = [type(processor).__name__ for processor in reference]
    assert names == [
        "RepetitionPenaltyLogitsProcessor",
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
        "TemperatureLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
    ]
    assert_same_nucleus(out, theirs(reference, history, logits), tied=kind == "ties")
