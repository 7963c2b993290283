"""Errors speak to people, and their codes are stable and documented."""

import inspect
import re
from pathlib import Path

import pytest

from mf_core import errors
from mf_core.errors import ConfigError, MFError, close_names, did_you_mean

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
