"""Public calls raise MFErrors and the user's own exceptions, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mf_core.boundary import public, user_code
from mf_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileAccessError,
    FileMissingError,
    InternalError,
    MFError,
    NotInstalledError,
    OutOfMemoryError,
    UnsupportedError,
)


def library(source: str, **names):
    """Return the function ``f`` of code that belongs to the library."""
    space = {"__name__": "mf_core.made_up", "public": public, "np": np, "os": os, **names}
    exec(compile(source, "mf_core/made_up.py", "exec"), space)
    return space["f"]


@pytest.mark.parametrize(
    "statement, expected, words",
    [
        ("int(x)", ArgumentError, "f('many') failed: ValueError: invalid literal"),
        ("x + 1", ArgumentTypeError, "f('many') failed: TypeError"),
        ("{}[x]", InternalError, "KeyError: 'many'"),
        ("x.y", InternalError, "has no attribute 'y'"),
        ("open(x)", FileMissingError, "f('many'): 'many': No such file or directory"),
        ("open('/')", FileAccessError, "'/': Is a directory"),
        ("open('a\\0b')", ArgumentError, "null byte"),
        ("'\\ud800'.encode()", ArgumentError, "lone surrogates"),
        ("np.zeros(3).reshape(x, 2)", ArgumentTypeError, "cannot be interpreted"),
        ("np.empty(10**18)", OutOfMemoryError, "not enough memory"),
        ("f(x)", ArgumentError, "nested too deeply"),
        ("import there_is_none", NotInstalledError, "there_is_none"),
        ("1 / 0", ArgumentError, "ZeroDivisionError"),
        ("next(iter(()))", InternalError, "StopIteration"),
        ("os.fspath(5)", ArgumentTypeError, "a path is a string or a pathlib.Path, not int"),
        ("list(5)", ArgumentTypeError, "a list or another sequence is needed, not int"),
        ("raise RuntimeError('Return value from CPU AOT kernel is 1')", UnsupportedError, "a kernel refused its"),
        ("raise NotImplementedError('none')", UnsupportedError, "NotImplementedError: none"),
    ],
)
def test_foreign_exceptions_become_errors_with_a_cause(statement, expected, words):
    f = library(f"@public\ndef f(x):\n    {statement}")
    with pytest.raises(expected) as caught:
        f("many")
    assert words in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_panic_of_an_extension_is_an_error_and_what_ends_a_process_passes():
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    with pytest.raises(InternalError, match="PanicException"):
        library("@public\ndef f(x):\n    raise x('regex')")(panic)
    for passing in (KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(passing):
            library("@public\ndef f(x):\n    raise x")(passing)
    with pytest.raises(DeprecationWarning):
        library("@public\ndef f(x):\n    raise x")(DeprecationWarning)


def test_an_error_of_the_library_is_not_wrapped_again():
    error = UnsupportedError("so")
    with pytest.raises(UnsupportedError) as caught:
        library("@public\ndef f(x):\n    raise x")(error)
    assert caught.value is error


def test_wrong_keywords_and_counts():
    f = library("@public\ndef f(task=None, model=None):\n    pass")
    with pytest.raises(ArgumentTypeError, match=r"f\(\) got an unexpected keyword argument 'modle'\n.*'model'"):
        f(modle=1)
    with pytest.raises(ArgumentTypeError, match="its arguments are: task, model"):
        f(1, 2, 3)


class Raising:
    """Whatever is asked of it fails, in the user's code."""

    def __repr__(self):
        raise KeyError("repr")

    def __index__(self):
        raise LookupError("index")

    def __call__(self):
        raise LookupError("the user's")

    def __iter__(self):
        raise LookupError("the user's")

    def _helper(self):
        raise LookupError("length")

    __fspath__ = _helper


def test_exceptions_of_the_users_code_stay_theirs():
    for statement in ("x()", "list(x)", "sorted([1], key=lambda _: x())"):
        with pytest.raises(LookupError, match="the user's") as caught:
            library(f"@public\ndef f(x):\n    {statement}")(Raising())
        assert not isinstance(caught.value, MFError)


def test_values_that_cannot_be_read_are_bad_arguments():
    for statement in ("raise ValueError(f'{x!r} is bad')", "range(x)", "os.fspath(x)"):
        with pytest.raises(InternalError, match=r"f\(<Raising.*>\) failed: (KeyError|LookupError)"):
            library(f"@public\ndef f(x):\n    {statement}")(Raising())


def test_marked_code_counts_as_the_users():
    f = library("@public\ndef f(x):\n    with user_code():\n        {}[x]", user_code=user_code)
    with pytest.raises(KeyError) as caught:
        f("key")
    assert not isinstance(caught.value, MFError)


def test_generators_are_guarded_as_they_run():
    f = library("@public\ndef f(x):\n    yield 1\n    yield {}[x]")
    stream = f("key")
    assert isinstance(stream, Iterator) and next(stream) == 1
    with pytest.raises(InternalError, match="KeyError"):
        next(stream)
    stream = f("key")
    next(stream)
    stream.close()


def test_calls_are_named_as_the_user_made_them():
    cls = library(
        "class f:\n    @public\n    def save(self, path):\n        {}[path]\n"
        "    @classmethod\n    @public\n    def load(cls, path):\n        {}[path]\n"
        "    @public\n    def __call__(self, x):\n        {}[x]\nclass g(f): pass\nf = g"
    )
    for call, words in ((cls().save, "g.save("), (cls.load, "g.load("), (cls(), "g(")):
        with pytest.raises(InternalError) as caught:
            call("x" * 1000)
        assert words in str(caught.value) and len(str(caught.value)) < 900


@pytest.mark.parametrize("path", ["a\0b", "a" * 5000, "\ud800", "/dev/null/x", "/proc/self/mem"])
def test_paths_that_no_file_can_have(path, tmp_path):
    from mf_core import AutoConfig, AutoTokenizer, GPT2Config

    for call in (
        lambda: AutoConfig.from_pretrained(path), lambda: AutoTokenizer.from_pretrained(path),
        lambda: GPT2Config().save_pretrained(Path(path)),
    ):  # fmt: skip
        with pytest.raises(MFError) as caught:
            call()
        assert "\0" not in str(caught.value) and len(str(caught.value)) < 1500


def test_a_file_that_cannot_be_read(tmp_path):
    from mf_core import AutoConfig

    (tmp_path / "config.json").mkdir()
    with pytest.raises(MFError):
        AutoConfig.from_pretrained(tmp_path)
