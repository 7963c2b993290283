"""The boundary of the public API: what fails inside a public call leaves it as an :class:`~mf_core.errors.MFError`.

Python's, numpy's, the operating system's and extension modules' exceptions become the cause (``__cause__``) of an error
that names the call. What stays as it is:

* ``KeyboardInterrupt``, ``SystemExit`` and other exceptions that do not derive from ``Exception``; a panic of a Rust
  extension is not one of them;
* warnings that the user has turned into errors;
* exceptions from the user's own code that the call ran, such as a callback, a metric or a dataset. That is code which
  is neither installed nor part of Python; :func:`user_code` marks more. Special methods of an argument that fail where
  its value is needed (``__repr__``, ``__index__``, …) are faults of the argument, and become an error.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from .errors import (
    ArgumentError,
    ArgumentTypeError,
    DownloadError,
    FileAccessError,
    FileMissingError,
    InternalError,
    MFError,
    NotInstalledError,
    OutOfMemoryError,
    UnsupportedError,
    describe,
    did_you_mean,
    shown,
)

P = ParamSpec("P")
R = TypeVar("R")

#: Packages whose code is not the user's, wherever it is: the core, and each plugin that was loaded.
LIBRARY_PACKAGES = {"mf_core"}

#: Special methods by which a value is read: where the user's own fail, the value is at fault.
_READING = {
    "__array__", "__bool__", "__bytes__", "__complex__", "__eq__", "__float__", "__format__", "__fspath__", "__ge__",
    "__getattr__", "__getattribute__", "__gt__", "__hash__", "__index__", "__int__", "__le__", "__lt__", "__ne__",
    "__repr__", "__round__", "__str__",
}  # fmt: skip
_MARK = "_mf_user_code"
#: Set on the translation of an exception that no check foresaw.
_UNFORESEEN = "_mf_unforeseen"
#: The hint where nothing better is known.
REPORT = "check the arguments; if they are right, please report this with its traceback"


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function or method one of the public API: it raises no exceptions but MFErrors and the user's own.

    Where it returns a generator, the same holds for the generator. A class method is decorated below ``@classmethod``.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = function(*args, **kwargs)
        except MFError:
            raise
        except BaseException as error:
            if _passes(error):
                raise
            raise _translated(error, function, args) from error
        if inspect.isgenerator(result):
            return cast(R, _guarded(result, function, args))
        return result

    return call


@contextmanager
def user_code() -> Iterator[None]:
    """Mark the exceptions of a block that runs the user's code, so that they pass the boundary as they are."""
    try:
        yield
    except Exception as error:
        with suppress(Exception):  # a class that refuses attributes: then the exception becomes a cause
            setattr(error, _MARK, True)
        raise


def _guarded(generator: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return (yield from generator)
    except (MFError, GeneratorExit):
        raise
    except BaseException as error:
        if _passes(error):
            raise
        raise _translated(error, function, args) from error


def _passes(error: BaseException) -> bool:
    """Return whether an exception leaves a public call as it is."""
    if not isinstance(error, Exception):
        return type(error).__module__ != "pyo3_runtime"
    if isinstance(error, Warning) or getattr(error, _MARK, False):
        return True
    traceback = error.__traceback__
    own = traceback.tb_next if traceback is not None else None  # the first frame is that of the boundary
    return _is_of_user(own)


def _is_of_user(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if not _is_library(traceback.tb_frame):
            return not _reads_a_value(traceback.tb_frame)
        traceback = traceback.tb_next
    return False


def _reads_a_value(frame: FrameType) -> bool:
    """Return whether a frame is in a special method that reads an object, whatever its function's name."""
    code = frame.f_code
    if code.co_name in _READING:
        return True
    cls = type(frame.f_locals.get(code.co_varnames[0])) if code.co_argcount else object
    return any(getattr(vars(base).get(name), "__code__", None) is code for base in cls.__mro__ for name in _READING)


def _is_library(frame: FrameType) -> bool:
    name, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
    package = name.partition(".")[0]
    if package == "__main__":
        return False
    if package in LIBRARY_PACKAGES or package in sys.stdlib_module_names:
        return True
    if file.startswith("<"):
        return file.startswith(("<frozen", "<string>", "<__array_function__"))
    return file.startswith(_folders())


@functools.cache
def _folders() -> tuple[str, ...]:
    """Return the folders of installed packages and of Python itself."""
    import sysconfig

    paths = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {entry for entry in sys.path if os.path.basename(entry) in ("site-packages", "dist-packages")}
    return tuple(os.path.join(path, "") for path in sorted(paths))


def unforeseen(error: BaseException) -> BaseException | None:
    """Return the unexpected exception that ``error`` is this module's translation of, or None.

    Exceptions of files, of memory and of texts that are not Unicode are foreseen here, and are not among them.
    """
    return error.__cause__ if getattr(error, _UNFORESEEN, False) else None


def _translated(error: BaseException, function: Callable[..., Any], args: tuple[Any, ...]) -> MFError:
    translation = _meaning(error, function, args)
    if not isinstance(error, (OSError, MemoryError, RecursionError, UnicodeError)):
        setattr(translation, _UNFORESEEN, True)
    return translation


def _meaning(error: BaseException, function: Callable[..., Any], args: tuple[Any, ...]) -> MFError:
    """Translate an exception into an error for the caller of ``function``."""
    name = _name(function, args)
    if isinstance(error, TypeError) and (error.__traceback__ is None or error.__traceback__.tb_next is None):
        return _wrong_signature(error, function, name)
    call = f"{name}({_shown_arguments(function, args)})"
    if isinstance(error, OSError):
        return _of_file(error, call)
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"{call}: there is not enough memory", why=describe(error), hint="ask for less at once")
    if isinstance(error, RecursionError):
        return ArgumentError(f"{call} failed: an argument or a file is nested too deeply", why=describe(error))
    what = f"{call} failed: {describe(error)}"
    if isinstance(error, UnicodeError):
        return ArgumentError(
            what, value=getattr(error, "object", None), why="a text has characters that UTF-8 cannot encode or decode",
            hint="lone surrogates come from reading bytes with the wrong encoding",
        )  # fmt: skip
    if isinstance(error, TypeError):
        return _of_type(error, call, what)
    if isinstance(error, (ValueError, ArithmeticError)):
        hint = "a path cannot contain the character NUL" if "null byte" in str(error) else REPORT
        return ArgumentError(what, hint=hint)
    if isinstance(error, NotImplementedError):
        return UnsupportedError(what)
    if isinstance(error, RuntimeError) and "Return value" in str(error) and "kernel" in str(error):
        return UnsupportedError(
            f"{call}: a kernel refused its operands: weights or inputs of types or shapes that do not go together",
            why=describe(error), hint="give all weights one type; MF_KERNELS=0 computes with MindSpore's own operators",
        )  # fmt: skip
    if isinstance(error, ModuleNotFoundError):
        return NotInstalledError(what, value=error.name, hint=f"install {error.name!r}")
    return InternalError(what, hint=REPORT)


def _name(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return what the caller calls it: with the name of the object's class, should a base class define it."""
    qualified = getattr(function, "__qualname__", str(function))
    owner, dot, name = qualified.rpartition(".")
    if not dot or owner.endswith("<locals>") or not args:
        return name
    cls = args[0] if isinstance(args[0], type) else type(args[0])
    if name == "__init__":
        return cls.__name__
    return cls.__name__ if name == "__call__" else f"{cls.__name__}.{name}"


def _shown_arguments(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return the first argument if it has a short representation."""
    bound = "." in getattr(function, "__qualname__", "") and "<locals>" not in function.__qualname__
    rest = args[1:] if bound else args
    if not rest:
        return "…" if args and not bound else ""
    plain = isinstance(rest[0], (str, bytes, int, float, bool, os.PathLike, type(None)))
    first = shown(rest[0], 80) if plain else f"<{type(rest[0]).__name__}>"
    return first + (", …" if len(rest) > 1 else "")


def _wrong_signature(error: TypeError, function: Callable[..., Any], name: str) -> MFError:
    words = str(error)
    what = f"{name}{words[words.index('('):]}" if "() " in words else f"{name}: {words}"
    unknown = words.rpartition("unexpected keyword argument '")[2].partition("'")[0] if "unexpected" in words else ""
    known = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    hint = did_you_mean(unknown, known) if unknown else None
    return ArgumentTypeError(what, value=unknown or None, hint=hint or f"its arguments are: {', '.join(known)}")


def _of_type(error: TypeError, call: str, what: str) -> MFError:
    """Return the error for common type mistakes."""
    path = re.match(r"expected str, bytes or os.PathLike object, not (\w+)", str(error))
    if path:
        return ArgumentTypeError(f"{call}: a path is a string or a pathlib.Path, not {path[1]}")
    single = re.match(r"'([\w.]+)' object is not iterable|iteration over a (0-d array)", str(error))
    if single:
        return ArgumentTypeError(f"{call}: a list or another sequence is needed, not {single[1] or single[2]}")
    return ArgumentTypeError(what, hint=REPORT)


def _of_file(error: OSError, call: str) -> MFError:
    file = None if error.filename is None else shown(os.fspath(error.filename), 300)
    reason = error.strerror or describe(error)
    what = f"{call}: {file}: {reason}" if file else f"{call} failed: {describe(error)}"
    if isinstance(error, FileNotFoundError):
        return FileMissingError(what, value=error.filename)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return DownloadError(what, value=error.filename)
    return FileAccessError(what, value=error.filename)
