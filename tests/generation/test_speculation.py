"""Proposed tokens: the text is the one that comes without, in fewer passes of the model."""

import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, pipeline, set_seed
from mf_core.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from mf_core.generation.config import GenerationConfig
from mf_core.generation.engine import run
from mf_core.generation.rows import CachedRows
from mf_core.generation.sequences import Writer, prepare
from mf_core.generation.speculation import Draft, look_up

SIZES = {
    "vocab_size": 120, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64, "initializer_range": 0.3,
}  # fmt: skip


def made(seed, **changes):
    set_seed(seed)
    return GPT2LMHeadModel(GPT2Config(**{**SIZES, **changes}))


@pytest.fixture(scope="module")
def model():
    return made(5)


@pytest.fixture(scope="module")
def smaller():
    return made(6, num_layers=1, seq_length=48)  # its context ends before the model's


PROMPTS = [np.random.default_rng(n).integers(0, 118, n).tolist() for n in (3, 9, 20, 5)]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("options", [{"do_sample": False}, {"temperature": 0.7, "top_p": 0.9, "seed": 3}], ids=str)
def test_the_text_is_the_same(model, smaller, options, batch_size):
    options = {**options, "max_length": 64, "repetition_penalty": 1.1, "eos_token_id": 7, "batch_size": batch_size}
    plain = model.generate(PROMPTS, **options)
    assert model.generate(PROMPTS, prompt_lookup_num_tokens=5, **options) == plain
    assert model.generate(PROMPTS, assistant_model=smaller, **options) == plain


def passes(model, prompt, options, assistant=None):
    config = GenerationConfig(**options)
    (sequence,) = sequences = prepare(model, [prompt], config)
    return sum(1 for _ in run(model, sequences, config, assistant=assistant)), sequence.ids


def test_a_text_that_repeats_itself_takes_fewer_passes():
    model, options = made(5, initializer_range=0.02), {"max_length": 64}
    plain, ids = passes(model, PROMPTS[1], options)
    fewer, same = passes(model, PROMPTS[1], {**options, "prompt_lookup_num_tokens": 7})
    assert same == ids
    assert plain == 64 - 9
    assert fewer < plain / 2


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 4}], ids=str)
def test_an_assistant_that_draws_as_the_model_does_is_always_right(model, options):
    options = {**options, "max_new_tokens": 40, "num_assistant_tokens": 3}
    steps, ids = passes(model, PROMPTS[0], options, assistant=model)
    assert len(ids) == 43
    assert steps <= 1 + 10  # the prompt's, and three and one a step


def test_an_assistant_that_is_wrong_proposes_less(model, smaller):
    config = GenerationConfig(max_new_tokens=40)
    (sequence,) = prepare(model, [PROMPTS[0]], config)
    writer = Writer(sequence, config)
    with CachedRows(smaller, 1) as rows:
        draft = Draft(rows, 4)
        counts = []
        for right in (False, False, False, False, True, True, True):
            (proposal,) = draft.propose([writer])
            counts.append(len(proposal))
            sequence.ids += proposal if right else [(proposal[0] + 1) % 118]
        assert counts == [4, 3, 2, 1, 1, 3, 4]
        (another,) = prepare(model, [PROMPTS[2]], config)  # takes the row, and says nothing of the proposal before
        assert len(draft.propose([Writer(another, config)])[0]) == 4


def test_what_is_looked_up():
    assert look_up([1, 2, 3, 4, 9, 2, 3, 4], 3) == [9, 2, 3]
    assert look_up([1, 2, 5, 1, 2, 6, 1, 2], 2) == [6, 1]  # the last time counts
    assert look_up([8, 1, 2, 3, 9, 2, 3, 7, 1, 2, 3], 1) == [9]  # three tokens count before two
    assert look_up([5, 5, 5, 5], 4) == [5, 5, 5, 5]
    assert look_up([1, 2, 1, 2, 1], 3) == [2, 1, 2]
    assert look_up([1, 2, 3, 4], 3) == []
    assert look_up([1], 3) == []
    assert look_up([5, 5, 5, 5], 0) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt_lookup_num_tokens": 0}, ArgumentError, "prompt_lookup_num_tokens=0 must be at least 1"),
        ({"prompt_lookup_num_tokens": 1.5}, ArgumentTypeError, "expected an int or None"),
        ({"num_assistant_tokens": 0}, ArgumentError, "num_assistant_tokens=0"),
        ({"assistant_model": "gpt2_tiny"}, ArgumentTypeError, "a model, not str"),
    ],
)
def test_mistakes_are_named(model, options, error, message):
    with pytest.raises(error, match=message):
        model.generate(PROMPTS[0], max_new_tokens=2, **options)


def test_an_assistant_of_another_vocabulary_is_refused(model, smaller):
    with pytest.raises(ArgumentError, match="the assistant has 100 entries in its vocabulary, the model 120"):
        model.generate(PROMPTS[0], assistant_model=made(1, vocab_size=100))
    with pytest.raises(ArgumentError, match="both assistant_model and prompt_lookup_num_tokens=3"):
        model.generate(PROMPTS[0], assistant_model=smaller, prompt_lookup_num_tokens=3)


class OneTokensLogits(GPT2LMHeadModel):
    def decode(self, input_ids, position_ids, bias, cache):
        return super().decode(input_ids, position_ids, bias, cache)


def test_a_model_that_gives_one_tokens_logits_generates_but_says_that_it_cannot_verify(model):
    set_seed(5)
    plain = OneTokensLogits(GPT2Config(**SIZES))
    options = {"max_new_tokens": 3, "do_sample": False}
    assert plain.generate(PROMPTS[0], **options) == model.generate(PROMPTS[0], **options)
    with pytest.raises(UnsupportedError, match="OneTokensLogits cannot say what it thinks of proposed tokens"):
        plain.generate(PROMPTS[0], prompt_lookup_num_tokens=3, **options)


def test_pipelines_propose_too():
    plain = pipeline("text_generation", "gpt2_tiny", max_new_tokens=40, seed=2)
    texts = plain(["Once upon a time", "One morning"])
    assert plain(["Once upon a time", "One morning"], prompt_lookup_num_tokens=4, batch_size=1) == texts
    assisted = pipeline("text_generation", "gpt2_tiny", max_new_tokens=40, seed=2, assistant_model="gpt2_tiny")
    assert assisted(["Once upon a time", "One morning"]) == texts
    stream = assisted("Once upon a time", stream=True)
    assert "".join(stream) == texts[0]["text_generation_text"][0]
    assert stream.tokens in range(1, 41)
    word = texts[0]["text_generation_text"][0].split()[8]
    stopped = assisted("Once upon a time", stop=word, return_full_text=False)
    assert stopped == plain("Once upon a time", stop=word, return_full_text=False)
