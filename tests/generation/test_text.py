"""Text as tokens come: whole characters, stop strings, and what may be shown."""

import random

import pytest

from mf_core import AutoTokenizer
from mf_core.generation.text import Detokenizer, StopAutomaton, TextFollower


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained("gpt2_tiny")


def first_end(text, words):
    """Where the word that ends first begins, the longest of those that end there; by looking everywhere."""
    for end in range(1, len(text) + 1):
        found = [len(word) for word in words if text[:end].endswith(word)]
        if found:
            return end - max(found)
    return None


def test_the_automaton_finds_what_looking_everywhere_does():
    draw = random.Random(4)
    for _ in range(500):
        words = ["".join(draw.choices("ab", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 5))]
        text = "".join(draw.choices("abc", k=30))
        assert StopAutomaton(words).search(text) == first_end(text, words), (words, text)


def test_many_strings_are_no_slower_to_look_for():
    automaton = StopAutomaton([f"<{n}>" for n in range(10_000)])
    assert automaton.search("x" * 1000 + "<9999>") == 1000


def test_characters_come_whole(tokenizer):
    text = "naïve 🦊 fox, 我们 go"
    ids = tokenizer.encode(text, add_special_tokens=False)
    for before in (0, 1, 4):
        detokenizer = Detokenizer(lambda some: tokenizer.decode_ids(some, True), ids[:before])
        pieces = [detokenizer.push(index) for index in ids[before:]]
        assert not any("\ufffd" in piece for piece in pieces)
        if before == 0:
            assert "".join(pieces) == text
    cut = Detokenizer(lambda some: tokenizer.decode_ids(some, True), [])
    assert cut.push(ids[2]) == ""
    assert cut.rest() == "\ufffd"


def followed(tokenizer, text, stop, prompt="Once"):
    start = tokenizer.encode(prompt, add_special_tokens=False)
    follower = TextFollower(tokenizer, start, StopAutomaton(stop) if stop else None)
    shown = ""
    for index in tokenizer.encode(prompt + text, add_special_tokens=False)[len(start) :]:
        ended = follower.push(index)
        assert follower.text[: follower.ready()].startswith(shown)
        shown = follower.text[: follower.ready()]
        if ended:
            break
    follower.finish()
    return follower


@pytest.mark.parametrize(
    ("text", "stop", "left"),
    [
        (" upon a time", ["a t"], " upon "),
        (" upon a time", ["time", "me"], " upon a "),
        (" upon a time", ["zzz"], " upon a time"),
        (" upon<|endoftext|> a", ["<|endoftext|>"], " upon"),
        (" upon<|endoftext|> a", [" a"], " upon"),
        (" upon<|endoftext|> a", ["text|> a"], " upon"),
        (" 🦊 time", ["🦊"], " "),
    ],
)
def test_a_text_ends_before_the_stop_string(tokenizer, text, stop, left):
    follower = followed(tokenizer, text, stop)
    assert follower.text == left
    assert follower.stopped == (stop != ["zzz"])


def test_what_may_begin_a_stop_string_is_held_back(tokenizer):
    follower = followed(tokenizer, " upon a", [" a time"])
    assert follower.text == " upon a"
    assert follower.text[: follower.ready()] == " upon"
