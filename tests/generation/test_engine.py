"""The generation loop: same tokens alone and in a batch, with and without a cache, and limits that are kept."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.errors import ArgumentError, ArgumentTypeError, InputTooLongError, UnsupportedError
from mf_core.generation import steps
from mf_core.generation.cache import cache_bucket, prompt_bucket
from mf_core.generation.config import GenerationConfig
from mf_core.generation.engine import run
from mf_core.generation.sequences import prepare

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


def without_cache(model, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model(ms.Tensor([ids], ms.int32)).asnumpy()[0, -1].argmax()))
    return ids


def is_greedy(model, ids, start):
    """Whether each id from ``start`` on is the likeliest after those before it, by one pass over all of them."""
    likeliest = model(ms.Tensor([ids[:-1]], ms.int32)).asnumpy()[0].argmax(-1)
    return ids[start:] == likeliest[start - 1 :].tolist()


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


@pytest.mark.parametrize("options", [{"do_sample": False}, {"temperature": 0.9, "top_p": 0.9, "seed": 11}], ids=str)
def test_a_prompt_gets_what_it_gets_alone_wherever_it_stands_in_the_queue(model, options):
    prompts = [prompt(n, n) for n in (3, 40, 7, 16, 3, 17, 30)]
    prompts.append(prompts[1][:20] + prompts[2])  # begins as another does
    options = {**options, "max_length": 50, "eos_token_id": (5, 17)}
    alone = [model.generate(ids, **options)[0] for ids in prompts]
    assert len({len(ids) - len(prompt) for ids, prompt in zip(alone, prompts, strict=True)}) > 3
    for size in (1, 2, 3, 8):
        assert model.generate(prompts, batch_size=size, **options) == alone
    assert model.generate(prompts[::-1], batch_size=3, **options) == alone[::-1]


def test_several_sequences_of_each_prompt_are_the_same_in_any_batch(model):
    prompts = [prompt(n, n) for n in (30, 4)]
    options = {"max_new_tokens": 12, "temperature": 1.5, "seed": 3, "num_return_sequences": 3}
    together = model.generate(prompts, **options)
    assert [model.generate(prompts, batch_size=size, **options) for size in (1, 2)] == [together] * 2


def test_a_row_that_is_finished_makes_room_at_once(model):
    config = GenerationConfig(max_length=40)
    sequences = prepare(model, [prompt(10), prompt(37), prompt(5), prompt(20)], config)
    long, short, third, fourth = sequences
    is_free = False
    for _ in run(model, sequences, config, batch_size=2):
        running = [sequence for sequence in sequences if len(sequence.ids) > sequence.prompt and not sequence.finished]
        assert len(running) <= 2
        assert (len(third.ids) > third.prompt) == is_free
        assert len(fourth.ids) == fourth.prompt or long.finished
        is_free = short.finished is not None
    assert all(len(sequence.ids) == 40 for sequence in sequences)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "2"])
def test_a_batch_size_is_a_number_of_rows(model, size):
    with pytest.raises(ArgumentError, match="batch_size="):
        model.generate(prompt(3), batch_size=size, max_new_tokens=2)


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
        ([1], {"stop": "x"}, ArgumentError, "stop needs a tokenizer"),
        ([1], {"suppress_tokens": [120]}, ArgumentError, "suppress_tokens has the id 120; the vocabulary has 120"),
        ([1], {"logprobs": 2}, ArgumentError, "logprobs=2 without return_dict_in_generate"),
        ([[1]] * 1000, {"num_return_sequences": 100, "seed": 1}, ArgumentError, "are 100000; a call has at most 65536"),
        ([1], {"num_beams": 2, "logprobs": 1, "return_dict_in_generate": True}, UnsupportedError, "with num_b"),
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
    with pytest.raises(ArgumentError, match="attention_mask has rows of 5, 5 entries, input_ids of 6, 6"):
        model.generate(ids, attention_mask=mask[:, 1:])


def caches_made(monkeypatch):
    """Return a list that gets the rows and slots of each cache that is made from now on."""
    made = []
    for name in ("DecodeStep", "DirectStep"):
        plain = getattr(steps, name)

        class Counted(plain):
            def __init__(self, *arguments):
                made.append(arguments[-2:])
                super().__init__(*arguments)

        monkeypatch.setattr(steps, name, Counted)
    return made


def test_lengths_within_a_bucket_share_a_cache(model, monkeypatch):
    made = caches_made(monkeypatch)
    model.__dict__.pop("_decode_steps", None)
    for length in (1, 7, 16):
        model.generate(prompt(length), max_new_tokens=10 + length, do_sample=False)
    assert made == [(1, 64)]


@pytest.fixture(scope="module")
def long_model():
    set_seed(6)
    config = GPT2Config(
        vocab_size=120, hidden_size=32, num_layers=2, num_heads=4, seq_length=1100, initializer_range=0.3
    )
    return GPT2LMHeadModel(config)


def test_the_cache_grows_with_the_text_and_not_with_its_limit(long_model, monkeypatch):
    made = caches_made(monkeypatch)
    prompts = [prompt(40), prompt(50, 1)]
    config = GenerationConfig(max_new_tokens=1000)
    sequences = prepare(long_model, prompts, config)
    tokens = run(long_model, sequences, config)
    for _ in range(20):
        next(tokens)
    assert made == [(2, 256)]
    for _ in range(280):
        next(tokens)
    assert made == [(2, 256), (2, 512)]
    for sequence in sequences:
        assert len(sequence.ids) == sequence.prompt + 300
        assert is_greedy(long_model, sequence.ids, sequence.prompt)


def test_a_prompt_longer_than_a_pass_is_put_in_by_pieces(long_model):
    prompts = [prompt(1030), prompt(3)]
    texts = long_model.generate(prompts, max_new_tokens=3, do_sample=False, eos_token_id=None)
    assert all(is_greedy(long_model, ids, len(ids) - 3) for ids in texts)


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
    assert [prompt_bucket(n) for n in (1, 8, 9, 33, 1000)] == [8, 8, 16, 64, 1024]
    assert [cache_bucket(n) for n in (1, 64, 127, 128, 1034)] == [64, 128, 128, 256, 2048]


def test_a_start_token_of_a_decoder_is_warned_of_without_an_encoder(model):
    with pytest.warns(UserWarning, match="decoder_start_token_id=3 is ignored"):
        assert model.generate([[5]], max_new_tokens=1, decoder_start_token_id=3)
