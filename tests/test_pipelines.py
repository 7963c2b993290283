"""``pipeline()`` for text generation, with the shipped model."""

import asyncio
import subprocess
import sys
import warnings

import pytest

from mf_core import AutoModel, AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, pipeline
from mf_core.backends import base as backends
from mf_core.checkpoint import locate as locate_module
from mf_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    BackendError,
    InputTooLongError,
    NotRegisteredError,
    UnsupportedError,
)

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def generate():
    return pipeline("text_generation", "gpt2_tiny", max_length=60)


def text_of(result):
    ((text,),) = [item["text_generation_text"] for item in result]
    return text


def test_pipelines_and_models_say_what_they_are(generate):
    lines = repr(generate).splitlines()
    assert lines[0] == "TextGenerationPipeline("
    assert lines[1] == "    model=GPT2LMHeadModel: 957,184 weights in float32, from gpt2_tiny,"
    assert lines[2].startswith("    tokenizer=GPT2Tokenizer(")
    assert lines[3:] == ["    max_length=60,", ")"]
    model = repr(generate.model)
    assert model.splitlines()[0] == generate.model.summary()
    assert "(wte): Embedding(1024 x 128)" in model
    assert "(c_attn): Linear(128 -> 384)" in model


def test_a_string_gives_one_dict_with_one_text_that_begins_with_the_prompt(generate):
    result = generate(PROMPT, seed=1)
    assert list(result[0]) == ["text_generation_text"]
    assert text_of(result).startswith(PROMPT)
    assert len(text_of(result)) > len(PROMPT)


def test_a_list_gives_each_prompt_its_own_text(generate):
    prompts = [PROMPT, "One morning, when the", "In a"]
    together = generate(prompts, do_sample=False)
    assert [text_of([item]) for item in together] == [text_of(generate(p, do_sample=False)) for p in prompts]
    assert generate(prompts, do_sample=False, batch_size=2) == together


def test_stream_yields_the_same_text_in_pieces(generate):
    stream = generate(PROMPT, seed=4, stream=True)
    pieces = list(stream)
    assert len(pieces) > 5
    assert "".join(pieces) == text_of(generate(PROMPT, seed=4))
    assert stream.tokens > 5
    assert stream.finish_reason in ("eos", "length")
    assert 0 < stream.first_token_seconds <= stream.seconds


def test_several_prompts_stream_at_once_and_in_coroutines(generate):
    prompts = [PROMPT, "One morning, when the"]
    options = {"do_sample": False, "max_length": None, "max_new_tokens": 6}
    expected = [text_of([one]) for one in generate(prompts, **options)]
    stream = generate(prompts, stream=True, **options)
    texts = ["", ""]
    for number, piece in stream:
        texts[number] += piece
    assert texts == expected
    assert stream.finish_reasons == ["length", "length"]
    assert stream.tokens == [6, 6]

    async def gather():
        return [piece async for piece in generate(PROMPT, stream=True, **options)]

    assert "".join(asyncio.run(gather())) == expected[0]


def test_log_probabilities_have_texts_beside_ids(generate):
    (result,) = generate(PROMPT, do_sample=False, max_length=None, max_new_tokens=3, logprobs=2)
    (tokens,) = result["logprobs"]
    assert text_of([result]) == PROMPT + "".join(token["token"] for token in tokens)
    assert result["scores"] == [pytest.approx(sum(token["logprob"] for token in tokens))]
    assert all(token["top"][0]["id"] == token["id"] and len(token["top"]) == 2 for token in tokens)
    assert result["finish_reasons"] == ["length"]


def test_a_stop_string_may_be_a_special_token(generate):
    stream = generate(
        PROMPT, stream=True, do_sample=False, eos_token_id=None, stop="<|endoftext|>", max_length=None,
        max_new_tokens=200,
    )  # fmt: skip
    assert "<|endoftext|>" not in "".join(stream)
    assert stream.finish_reason == "stop"
    assert stream.tokens < 200


def test_stop_ends_the_text_before_the_string(generate):
    whole = text_of(generate(PROMPT, do_sample=False))
    word = whole.split()[8]
    cut = text_of(generate(PROMPT, do_sample=False, stop=word))
    assert cut == whole[: whole.index(word, len(PROMPT))]
    stream = generate(PROMPT, do_sample=False, stop=[word], stream=True)
    assert "".join(stream) == cut
    assert stream.finish_reason == "stop"


def test_a_prompt_that_is_kept_is_not_computed_again(generate, monkeypatch):
    from mf_core.generation.steps import DirectStep

    put = DirectStep.put
    widths = []
    monkeypatch.setattr(DirectStep, "put", lambda self, *args: widths.append(args[2]) or put(self, *args))
    story = text_of(generate(PROMPT, do_sample=False))
    prompts = [story, story + " Then they", story[:-10] + " and went", PROMPT]
    options = {"do_sample": False, "max_length": None, "max_new_tokens": 3, "cache_prompt": True}
    expected = [text_of(generate(prompt, **{**options, "cache_prompt": False})) for prompt in prompts]
    assert max(widths) > 32  # the longest prompt, whole
    generate(PROMPT, **options)
    first = text_of(generate(prompts[0], **options))
    widths.clear()
    assert [first, *(text_of(generate(prompt, **options)) for prompt in prompts[1:])] == expected
    assert max(widths) <= 16
    one, other = (generate(prompt, stream=True, **options) for prompt in prompts[:2])
    pieces = [[next(one)], [next(other)]]  # both at a time
    assert ["".join(begun + list(stream)) for begun, stream in zip(pieces, (one, other), strict=True)] == expected[:2]


def test_return_full_text_and_scores(generate):
    result = generate(PROMPT, do_sample=False, return_full_text=False, return_scores=True)
    assert PROMPT + text_of(result) == text_of(generate(PROMPT, do_sample=False))
    (score,) = result[0]["scores"]
    assert -100 < score < 0


def test_several_texts_of_one_prompt(generate):
    (result,) = generate(PROMPT, seed=1, num_return_sequences=3)
    assert len(set(result["text_generation_text"])) == 3


def test_a_sampling_keyword_turns_sampling_on():
    greedy = pipeline("text_generation", "gpt2_tiny", do_sample=False, max_length=40)
    texts = {text_of(greedy(PROMPT, top_k=50, temperature=3.0, seed=n)) for n in range(4)}
    assert len(texts) > 1
    with pytest.warns(UserWarning, match="ignored top_k=3"):
        assert text_of(greedy(PROMPT, do_sample=False, top_k=3)) == text_of(greedy(PROMPT))


def test_keywords_of_the_call_come_before_those_of_the_pipeline(generate):
    assert len(generate.tokenizer.encode(text_of(generate(PROMPT, do_sample=False)), add_special_tokens=False)) <= 60
    short = generate(PROMPT, do_sample=False, max_new_tokens=2)
    assert text_of(generate(PROMPT, do_sample=False)).startswith(text_of(short))
    assert len(text_of(short)) < 40


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ("", {}, ArgumentError, "prompt 0 is empty"),
        (["a", ""], {}, ArgumentError, "prompt 1 is empty"),
        ([], {}, ArgumentTypeError, r"not \[\]"),
        (3, {}, ArgumentTypeError, "not int"),
        (["a", None], {}, ArgumentTypeError, "prompt 1 is a NoneType"),
        (PROMPT, {"top_p": 0}, ArgumentError, r"top_p=0 must be in \(0, 1\]"),
        (PROMPT, {"topk": 3}, ArgumentError, "no argument 'topk'"),
        (PROMPT, {"temperature": "hot"}, ArgumentTypeError, "temperature='hot'"),
        (PROMPT, {"max_length": 2}, InputTooLongError, "max_length=2"),
        (PROMPT, {"batch_size": 0}, ArgumentError, "batch_size=0"),
        ("word " * 300, {}, InputTooLongError, "context is 256"),
        (PROMPT, {"stream": True, "num_beams": 2, "do_sample": False}, UnsupportedError, "stream=True with num_b"),
        (PROMPT, {"stream": True, "num_return_sequences": 2}, UnsupportedError, "stream=True with num_ret"),
        (PROMPT, {"guidance_scale": 2}, UnsupportedError, "does not support 'guidance_scale'"),
    ],
)
def test_mistakes_are_named(generate, inputs, options, error, message):
    with pytest.raises(error, match=message):
        generate(inputs, **options)


def test_building_names_mistakes_too():
    with pytest.raises(ArgumentError, match="no argument 'max_lenght'") as caught:
        pipeline("text_generation", "gpt2_tiny", max_lenght=3)
    assert "max_length" in caught.value.hint
    with pytest.raises(NotRegisteredError, match="task 'text_generatoin'") as caught:
        pipeline("text_generatoin", "gpt2_tiny")
    assert "text_generation" in caught.value.why
    with pytest.raises(ArgumentError, match="backend='torch'"):
        pipeline("text_generation", "gpt2_tiny", backend="torch")
    with pytest.raises(BackendError, match="uses the backend 'cpu'") as caught:
        pipeline("text_generation", "gpt2_tiny", device_target="ascend")
    with pytest.raises(ArgumentError, match="which tokenizer"):
        pipeline("text_generation", AutoModel.from_pretrained("gpt2_tiny"))


def test_objects_and_the_other_spelling_of_the_task():
    model, tokenizer = AutoModel.from_pretrained("gpt2_tiny"), AutoTokenizer.from_pretrained("gpt2_tiny")
    named = pipeline("text-generation", "gpt2_tiny")
    made = pipeline(task="text_generation", model=model, tokenizer=tokenizer)
    assert made(PROMPT, seed=2) == named(PROMPT, seed=2)


def test_the_documents_blocks_with_a_stand_in_for_the_weights(tmp_path, monkeypatch):
    """The pipeline part of the high-level document, GPT-2's vocabulary and all, over a small model called ``gpt2``."""
    config = GPT2Config(hidden_size=32, num_layers=2, num_heads=4)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    AutoTokenizer.from_pretrained("gpt2").save_pretrained(tmp_path / "gpt2")
    monkeypatch.setenv("MF_MODELS", str(tmp_path))

    text_generation = pipeline(task="text_generation", model="gpt2", max_length=50)
    first = text_generation("I love Beijing, because", top_k=3)

    tok = GPT2Tokenizer.from_pretrained("gpt2")
    gpt_model = GPT2LMHeadModel.from_pretrained("gpt2")
    text_generation = pipeline(task="text_generation", model=gpt_model, tokenizer=tok, max_length=50)
    second = text_generation("I love Beijing, because", top_k=3)

    for result in (first, second):
        assert text_of(result).startswith("I love Beijing, because")
    stream = text_generation("I love Beijing, because", top_k=3, stream=True)
    assert "".join(stream).startswith("I love Beijing, because")
    assert stream.tokens + 5 <= 50  # the prompt has five tokens, and max_length counts them


def test_nothing_is_warned_of_in_ordinary_use(generate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(PROMPT, top_k=3)


def test_pipeline_is_a_function_and_can_be_imported_as_mindformers_has_it():
    code = (
        "from mf_core.pipeline import pipeline, Pipeline\nimport mf_core.pipeline, mf_core, inspect\n"
        "assert mf_core.pipeline is pipeline and inspect.isfunction(pipeline)\n"
        "from mf_core import pipeline as again\nassert again is pipeline\n"
        "assert not hasattr(__import__('sys').modules['mf_core.pipeline'], '__path__')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_is_located_once_and_after_the_backend_is_chosen(monkeypatch):
    calls = []
    real = locate_module.locate
    monkeypatch.setattr(locate_module, "locate", lambda *given: calls.append(given[0]) or real(*given))
    monkeypatch.setattr(backends, "get_backend", lambda name=None: calls.append(("backend", name)))
    pipeline("text_generation", "gpt2_tiny", device_target="cpu")
    pipeline("text_generation", "gpt2_tiny", tokenizer="gpt2_tiny")
    assert [call for call in calls if call != ("backend", None)] == [("backend", "cpu"), "gpt2_tiny", "gpt2_tiny"]
