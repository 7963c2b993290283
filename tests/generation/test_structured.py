"""Structured output: what comes out matches, whatever the model would say."""

import json
import random
import re

import pytest
from pydantic import BaseModel

from mf_core import AutoTokenizer, GPT2Config, GPT2LMHeadModel, pipeline
from mf_core.errors import ArgumentError, ArgumentTypeError, UnsupportedError

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("llguidance")

OWL = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


class Owl(BaseModel):
    name: str
    awake: bool


@pytest.fixture(scope="module")
def generate():
    """A tiny model of random weights."""
    config = GPT2Config(
        vocab_size=1024, hidden_size=16, num_layers=1, num_heads=2, seq_length=256, bos_token_id=0, eos_token_id=0,
        pad_token_id=1,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    return pipeline(
        "text_generation", GPT2LMHeadModel(config), tokenizer, return_full_text=False, do_sample=True, top_k=0,
        temperature=1.0, max_length=None, max_new_tokens=120,
    )  # fmt: skip


def texts(results):
    return [text for result in results for text in result["text_generation_text"]]


def test_texts_match_what_is_asked_for(generate):
    for seed in range(3):
        (text,) = texts(generate("An owl:", json_schema=OWL, seed=seed))
        jsonschema.validate(json.loads(text), OWL)
        (text,) = texts(generate("An owl:", regex=r"[a-c]{2,4}-[0-9]{3}", seed=seed))
        assert re.fullmatch(r"[a-c]{2,4}-[0-9]{3}", text)
        (text,) = texts(generate("An owl:", choices=["to be", 'or "not"\n', "to bee"], seed=seed))
        assert text in ("to be", 'or "not"\n', "to bee")
        (text,) = texts(generate("An owl:", grammar='start: "hoo" ("t" | "w") ", "?', seed=seed))
        assert text.rstrip(", ") in ("hoot", "hoow")
        (text,) = texts(generate("An owl:", json_schema=True, seed=seed + 3))
        json.loads(text)
    (result,) = generate("An owl:", json_schema=Owl, seed=1, max_new_tokens=3)
    assert result["finish_reasons"] == ["length"]
    assert generate("An owl:", choices=["yes"])[0]["finish_reasons"] == ["eos"]


def test_batches_streams_and_proposed_tokens_give_the_same(generate):
    prompts = ["An owl:", 'A name: {"name": "owl", "age": 3} and', "One more of them, which is longer:"]
    alone = [texts(generate(prompt, json_schema=OWL, seed=2))[0] for prompt in prompts]
    assert texts(generate(prompts, json_schema=OWL, seed=2, batch_size=2)) == alone
    assert texts(generate(prompts, json_schema=OWL, seed=2, prompt_lookup_num_tokens=4)) == alone
    assert texts(generate(prompts, json_schema=OWL, seed=2, assistant_model=generate.model)) == alone
    assert "".join(generate(prompts[0], json_schema=OWL, seed=2, stream=True)) == alone[0]
    assert texts(generate(prompts[0], json_schema=OWL, seed=2, cache_prompt=True)) == alone[:1]
    (result,) = generate(prompts[0], json_schema=OWL, seed=2, num_return_sequences=2)
    for text in result["text_generation_text"]:
        jsonschema.validate(json.loads(text), OWL)


def test_beams_follow_the_structure(generate):
    prompts = ["An owl:", "One more of them, which is longer:"]
    for number, options in enumerate(({"do_sample": False}, {"seed": 3})):
        search = {"num_beams": 4, "num_return_sequences": 2, **options}
        for result in generate(prompts, json_schema=OWL, **search):
            assert result["finish_reasons"] == ["eos", "eos"]
            for text in result["text_generation_text"]:
                jsonschema.validate(json.loads(text), OWL)
        chosen = texts(generate(prompts, choices=["to be", "not", "to bee"], **search))
        assert set(chosen) <= {"to be", "not", "to bee"}
        assert number or chosen[0] != chosen[1]
    assert texts(generate("An owl:", choices=["yes"], num_beams=4, do_sample=False)) == ["yes"]


def test_models_generate_structured_ids(generate):
    model, tokenizer = generate.model, generate.tokenizer
    ids = tokenizer.encode("An owl:", add_special_tokens=False)
    for options in ({"seed": 2}, {"do_sample": False, "num_beams": 3}):
        output = model.generate(
            ids, json_schema=OWL, tokenizer=tokenizer, max_new_tokens=120, return_dict_in_generate=True, **options
        )
        assert output.finish_reasons == ["eos"]
        jsonschema.validate(json.loads(tokenizer.decode(output.sequences[0][len(ids) : -1])), OWL)
    with pytest.raises(ArgumentError, match="regex needs a tokenizer"):
        model.generate(ids, regex="a")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"json_schema": {"type": "object", "unevaluatedProperties": False}}, UnsupportedError, "cannot be followed"),
        ({"json_schema": {"type": "owl"}}, UnsupportedError, "cannot be followed"),
        ({"json_schema": False}, UnsupportedError, "cannot be followed"),
        ({"json_schema": "owl"}, ArgumentTypeError, "neither a dict nor a pydantic model"),
        ({"regex": "("}, UnsupportedError, "cannot be followed"),
        ({"grammar": "start: owl"}, UnsupportedError, "cannot be followed"),
        ({"choices": []}, ArgumentTypeError, "no list of texts"),
        ({"choices": ["a"], "regex": "a"}, ArgumentError, "regex and choices are given"),
        ({"choices": ["a"], "eos_token_id": None}, ArgumentError, "needs an id that ends a text"),
    ],
)
def test_what_is_refused_before_anything_is_generated(generate, options, error, words):
    with pytest.raises(error, match=words):
        generate("An owl:", **options)


def schema(chance, depth=0):
    """Return a random schema."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const"]
    kind = chance.choice(kinds + ["object", "array", "anyOf"] * (depth < 3))
    if kind == "object":
        names = chance.sample(["a", "b c", "d\"e", "é", "f_1"], chance.randint(0, 3))
        return {
            "type": "object", "properties": {name: schema(chance, depth + 1) for name in names},
            "required": [name for name in names if chance.random() < 0.7], "additionalProperties": False,
        }  # fmt: skip
    if kind == "array":
        least = chance.randint(0, 2)
        return {"type": "array", "items": schema(chance, depth + 1), "minItems": least, "maxItems": least + 1}
    if kind == "anyOf":
        return {"anyOf": [schema(chance, depth + 1) for _ in range(2)]}
    if kind == "string":
        return {"type": "string", "maxLength": chance.randint(1, 6)}
    if kind == "integer":
        low = chance.randint(-50, 50)
        return {"type": "integer", "minimum": low, "maximum": low + chance.randint(0, 200)}
    if kind == "number":
        return {"type": "number", "minimum": -1, "maximum": 1}
    if kind == "enum":
        return {"enum": chance.sample(["x", 1, None, True, "y z"], 2)}
    return {"const": chance.choice(["k", 2, False])} if kind == "const" else {"type": kind}


def valid(generate, seed):
    """Return whether a text for a random schema was complete, after checking that it is valid then."""
    wanted = schema(random.Random(seed))
    (result,) = generate("{", json_schema=wanted, seed=seed)
    if result["finish_reasons"] == ["length"]:
        return False
    jsonschema.validate(json.loads(result["text_generation_text"][0]), wanted)
    return True


def test_random_schemas(generate):
    complete = [valid(generate, seed) for seed in range(50)]
    assert sum(complete) >= 40


@pytest.mark.slow
def test_many_random_schemas(generate):
    complete = [valid(generate, seed) for seed in range(2000)]
    print(f"{sum(complete)} of {len(complete)} complete and valid, the others cut, and reported so")
    assert sum(complete) >= 1600
