"""Errors speak to people, and their codes are stable and documented."""

import inspect
import re
from pathlib import Path

import pytest

from mf_core import errors
from mf_core.errors import ConfigError, MFError, close_names, describe, did_you_mean, shown

CLASSES = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MFError) and c is not MFError
]
PAGE = Path(__file__).parents[1] / "docs" / "errors.md"


def test_message_has_code_cause_and_remedy():
    error = ConfigError("num_heads=5 is odd", value=5, why="12 is not a multiple", hint="use 4")
    assert str(error) == "[MF201] num_heads=5 is odd\n  why: 12 is not a multiple\n  try: use 4"
    assert error.value == 5


def test_codes_are_unique():
    codes = [c.code for c in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"MF[1-5]\d\d", code) for code in codes)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_each_is_documented_with_its_built_in_base(cls):
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {cls.code} ")]
    assert len(rows) == 1
    assert f"`{cls.__name__}`" in rows[0]
    base = re.findall(r"`(\w+)`", rows[0])[1]
    assert issubclass(cls, getattr(__builtins__, base, None) or __builtins__[base])


def test_close_names_ignore_case_and_far_ones():
    assert close_names("GPT3", ["gpt2", "pangualpha"]) == ["gpt2"]
    assert did_you_mean("zzz", ["gpt2"]) is None
    assert did_you_mean("hiden_size", ["hidden_size", "vocab_size"]) == "did you mean 'hidden_size'?"
    assert did_you_mean("hiden_size", ["hidden_sise"]) and did_you_mean("gpt2_xxl", ["gpt2_xl"])
    assert did_you_mean("num_labels", ["num_layers", "num_heads"]) is None  # another word, not a slip


HOSTILE = [
    "\x1b[2J\x1b]0;title\x07", "\u202eevil\u2066", "\ud800", "a\nb\r\tc\x00", "x" * 100_000, "\x9b31m", "\u200b",
    "好" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("cls", [MFError, *CLASSES], ids=lambda c: c.__name__)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_error_shows_a_text_as_it_came(cls, text):
    error = cls(f"the name {text!s} is bad", value=text, why=text, hint=text)
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert len(str(error).split("\n")) == 3 and len(str(error)) < 10_000
    assert error.what.startswith("the name ") and error.what.endswith(" is bad")
    assert error.value == text


class Hostile(str):
    """A text whose class lies about it."""

    def __str__(self):
        raise RuntimeError

    __repr__ = __format__ = isprintable = split = __str__


def test_classes_that_fight_being_shown():
    assert str(MFError(Hostile("a\x1b"))) == "[MF000] a\\x1b"
    assert shown(Hostile("a")) == "<Hostile, whose repr raises RuntimeError>"
    assert len(shown("x" * 10**6)) < 300
    assert describe(ValueError("")) == "ValueError"
