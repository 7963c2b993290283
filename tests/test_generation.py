"""The generation loop: same tokens alone and in a batch, with and without a cache, and limits that are kept."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.errors import ArgumentError, ArgumentTypeError, InputTooLongError, UnsupportedError
from mf_core.generation import engine
from mf_core.generation.config import GenerationConfig
from mf_core.generation.engine import cache_bucket, prepare, prompt_bucket, run

CONTEXT = 64


@pytest.fixture(scope="module")
def model():
    set_seed(5)
    config = GPT2Config(
        vocab_size=120, hidden_size=32, num_layers=2, num_heads=4, seq_length=CONTEXT, initializer_range=0.3,
        eos_token_id=119, pad_token_id=118,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def prompt(length, seed=0):
    return np.random.default_rng(seed).integers(0, 118, length).tolist()


def without_cache(model, ids, steps):
    ids = list(ids)
    for _ in range(steps):
        ids.append(int(model(ms.Tensor([ids], ms.int32)).asnumpy()[0, -1].argmax()))
    return ids


def test_greedy_equals_the_whole_model_run_again_for_each_token(model):
    ids = prompt(9)
    assert model.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=None) == [without_cache(model, ids, 30)]


def test_prompts_of_different_lengths_get_what_they_get_alone(model):
    prompts = [prompt(n, n) for n in (1, 5, 16, 17, 40)]
    together = model.generate(prompts, max_new_tokens=20, do_sample=False, eos_token_id=None)
    alone = [model.generate(ids, max_new_tokens=20, do_sample=False, eos_token_id=None)[0] for ids in prompts]
    assert together == alone


def test_a_seed_gives_a_prompt_the_same_text_alone_and_in_a_batch(model):
    prompts = [prompt(n, n) for n in (3, 7, 11)]
    options = {"max_new_tokens": 20, "temperature": 0.9, "top_p": 0.9, "eos_token_id": None}
    together = model.generate(prompts, seed=11, **options)
    assert together == [model.generate(ids, seed=11, **options)[0] for ids in prompts]
    assert together != model.generate(prompts, seed=12, **options)


def test_without_a_seed_two_calls_differ(model):
    ids = prompt(4)
    first, second = (model.generate(ids, max_new_tokens=30, temperature=2.0, eos_token_id=None) for _ in range(2))
    assert first != second


def test_generation_leaves_the_global_generators_alone(model):
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    model.generate(prompt(4), max_new_tokens=3, temperature=1.0, seed=9)
    assert np.random.random() == expected


def test_several_sequences_of_one_prompt_differ(model):
    rows = model.generate(prompt(4), max_new_tokens=20, temperature=1.5, seed=3, num_return_sequences=3)
    assert len(rows) == 3
    assert len({tuple(row) for row in rows}) == 3


def test_max_length_counts_the_prompt_and_max_new_tokens_does_not(model):
    ids = prompt(10)
    assert len(model.generate(ids, max_length=15, do_sample=False, eos_token_id=None)[0]) == 15
    assert len(model.generate(ids, max_new_tokens=15, do_sample=False, eos_token_id=None)[0]) == 25


def test_eos_ends_a_sequence_and_min_length_holds_it_back(model):
    ids = prompt(6)
    free = model.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=None)[0]
    end = free[10]
    short = model.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=end)[0]
    assert short == free[: free.index(end, 6) + 1]
    longer = model.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=end, min_length=20)[0]
    assert end not in longer[6:19]


def test_the_whole_context_can_be_filled_and_not_more(model):
    ids = prompt(CONTEXT - 3)
    full = model.generate(ids, max_new_tokens=3, do_sample=False, eos_token_id=None)[0]
    assert full == without_cache(model, ids, 3)
    with pytest.raises(InputTooLongError, match=r"61 tokens, and 4 new ones exceed the context of 64") as caught:
        model.generate(ids, max_new_tokens=4)
    assert caught.value.hint == "max_new_tokens may be 3"


@pytest.mark.parametrize(
    ("ids", "options", "error", "message"),
    [
        ([], {}, ArgumentError, "prompt 0 is empty"),
        ([[1, 2], []], {}, ArgumentError, "prompt 1 is empty"),
        ([120], {}, ArgumentError, "prompt 0 has the id 120; the vocabulary has 120 entries"),
        ([-1], {}, ArgumentError, "has the id -1"),
        ("text", {}, ArgumentTypeError, "lists of ids, not str"),
        ([1.5], {}, ArgumentTypeError, "list of ids"),
        ([True], {}, ArgumentTypeError, "list of ids"),
        ([1] * CONTEXT, {}, InputTooLongError, "has 64 tokens; the model's context is 64"),
        ([1] * 10, {"max_length": 10}, InputTooLongError, "max_length=10 counts the prompt"),
        ([1], {"top_q": 1}, ArgumentError, "no argument 'top_q'"),
        ([1], {"top_p": 0}, ArgumentError, "top_p"),
        ([1], {"num_beams": 4}, UnsupportedError, "num_beams=4"),
        ([1], {"stop": "x"}, ArgumentError, "stop needs a tokenizer"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_value(model, ids, options, error, message):
    with pytest.raises(error, match=message):
        model.generate(ids, **options)


def test_arrays_tensors_and_masks_are_taken(model):
    ids = np.array([prompt(6), prompt(6, 1)])
    expected = model.generate(ids.tolist(), max_new_tokens=4, do_sample=False)
    assert model.generate(ids, max_new_tokens=4, do_sample=False) == expected
    assert model.generate(ms.Tensor(ids, ms.int32), max_new_tokens=4, do_sample=False) == expected
    mask = np.ones_like(ids)
    mask[0, :2] = 0
    (first, _) = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False)
    assert first == model.generate(ids[0, 2:], max_new_tokens=4, do_sample=False)[0]
    with pytest.raises(ArgumentError, match="attention_mask has the shape"):
        model.generate(ids, attention_mask=mask[:, 1:])


def test_lengths_within_a_bucket_compile_nothing_new(model, monkeypatch):
    made = []
    plain = engine.DecodeStep
    monkeypatch.setattr(engine, "DecodeStep", lambda *a: made.append(a[1:]) or plain(*a))
    model.__dict__.pop("_decode_steps", None)
    for length in (1, 7, 16):
        model.generate(prompt(length), max_new_tokens=10 + length, do_sample=False)
    assert made == [(1, 64)]


def test_runs_that_overlap_do_not_disturb_each_other(model):
    config = GenerationConfig(max_new_tokens=12)
    prompts = [prompt(5, 21), prompt(5, 22)]
    expected = [model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)[0] for ids in prompts]
    made = [prepare(model, [ids], config) for ids in prompts]
    runs = [run(model, continuation, config) for continuation in made]
    for _ in range(12):
        for one in runs:
            next(one, None)
    assert [continuation[0].ids for continuation in made] == expected


def test_training_mode_comes_back(model):
    model.set_train(True)
    try:
        greedy = model.generate(prompt(5), max_new_tokens=5, do_sample=False)
        assert model.training
    finally:
        model.set_train(False)
    assert greedy == model.generate(prompt(5), max_new_tokens=5, do_sample=False)


def test_buckets_hold_what_they_are_for_and_are_few():
    assert [prompt_bucket(n) for n in (1, 16, 17, 33, 1000)] == [16, 16, 32, 64, 1024]
    assert [cache_bucket(n) for n in (1, 64, 65, 129, 1034)] == [64, 64, 128, 256, 1152]
