"""Interpreter state that a loading plugin must not change, and its restoration.

This keeps accidents of one plugin from the others: a changed working directory, a lost standard stream, a patched
function that loading them stands on. It is no sandbox: a plugin's code may do whatever the user may.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final, cast

#: Modules and classes whose functions are put back when a plugin replaces or deletes them. What a plugin adds stays.
_GUARDED: Final = (
    "builtins", "importlib", "mf_core.errors", "mf_core.hookspecs", "mf_core.plugins.manager",
    "mf_core.plugins.registry", "mf_core.specs", "os", "pluggy", "pluggy:HookCaller", "pluggy:PluginManager", "sys",
    "time", "warnings",
)  # fmt: skip
_STREAMS: Final = ("stdin", "stdout", "stderr")
_LISTS: Final = ("path", "meta_path", "path_hooks")


class InterpreterState:
    """The interpreter's state before the first plugin was loaded; to be closed after the last."""

    def __init__(self) -> None:
        self._functions = {name: _functions(name) for name in _GUARDED}
        self._descriptors: dict[int, tuple[tuple[int, int], int]] = {}
        for number in range(3):
            with suppress(OSError):  # a process may run without some of them
                self._descriptors[number] = (_file_of(number), os.dup(number))

    def close(self) -> None:
        """Close the copies of the standard streams."""
        for _, copy in self._descriptors.values():
            with suppress(OSError):
                os.close(copy)

    @contextmanager
    def kept(self) -> Iterator[list[str]]:
        """Restore, after the block, what it changed; the list then describes the changes.

        What the block prints goes to standard error: standard output is for what the program has to say, such as JSON.
        """
        notes: list[str] = []
        modules, limit, folder = dict(sys.modules), sys.getrecursionlimit(), _folder()
        lists = {name: (_sought(name), list(_sought(name))) for name in _LISTS}
        filters = list(warnings.filters)
        printed = sys.stdout = cast(Any, _CapturedStream(sys.stdout))
        streams = {name: getattr(sys, name, None) for name in _STREAMS}
        try:
            yield notes
        finally:
            notes += self._restore_functions()  # first: the others are called below
            notes += self._restore_descriptors()
            notes += _restore_streams(streams)
            stdout = printed.done()
            if sys.stdout is printed:
                sys.stdout = stdout
            if printed.used:
                notes.append("printed to standard output")
            lost = [name for name, module in modules.items() if sys.modules.get(name) is not module]
            if lost:
                sys.modules.update({name: modules[name] for name in lost})
                notes.append(f"removed or replaced {lost[0]}{' and others' if len(lost) > 1 else ''} in sys.modules")
            notes += _restore_lists(lists)
            strict = [entry for entry in warnings.filters if entry not in filters and entry[0] == "error"]
            if strict:
                warnings.filters[:] = [entry for entry in warnings.filters if entry not in strict]  # type: ignore[index]
                notes.append("turned warnings into errors")
            if folder and _folder() != folder:
                os.chdir(folder)
                notes.append("changed the working directory")
            if sys.getrecursionlimit() != limit:
                sys.setrecursionlimit(limit)
                notes.append("changed the recursion limit")

    def _restore_functions(self) -> Iterator[str]:
        for owner, functions in self._functions.items():
            current = _namespace(owner)
            for name, function in functions.items():
                if current is not None and vars(current).get(name) is not function:
                    setattr(current, name, function)
                    yield f"replaced {owner.replace(':', '.')}.{name}"

    def _restore_descriptors(self) -> Iterator[str]:
        for number, (file, copy) in self._descriptors.items():
            with suppress(OSError):
                try:
                    same = _file_of(number) == file
                except OSError:
                    same = False
                if not same:
                    os.dup2(copy, number)
                    yield f"closed or replaced the file descriptor {number}"


class _CapturedStream:
    """Standard output while a plugin is loaded; what the loading thread writes goes to standard error.

    Whoever keeps it, as a handler of logging does, writes to standard output with it afterwards.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._thread: int | None = threading.get_ident()
        self.used = False

    def write(self, text: str) -> int:
        mine = threading.get_ident() == self._thread
        self.used = self.used or mine
        stream = sys.stderr if mine else self._stream
        return int(stream.write(text)) if stream is not None else len(text)

    def done(self) -> Any:
        self._thread = None
        return self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _restore_streams(streams: dict[str, Any]) -> Iterator[str]:
    for name, stream in streams.items():
        if getattr(sys, name, None) is not stream:
            setattr(sys, name, stream)
            yield f"replaced sys.{name}"
        if getattr(stream, "closed", False):  # its descriptor has been put back by now
            number, mode = _STREAMS.index(name), "r" if name == "stdin" else "w"
            with suppress(OSError):
                reopened = os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
                setattr(sys, name, reopened)
                yield f"closed sys.{name}"


def _restore_lists(lists: dict[str, tuple[list[Any], list[Any]]]) -> Iterator[str]:
    """Restore the original order of lists; added items follow."""
    for name, (current, before) in lists.items():
        same = _sought(name) is current and len(current) >= len(before)
        if not same or any(now is not then for now, then in zip(current, before, strict=False)):
            known = {id(item) for item in before}
            current[:] = [*before, *(item for item in current if id(item) not in known)]
            setattr(sys, name, current)
            yield f"changed sys.{name}"


def _sought(name: str) -> list[Any]:
    """Return one of the lists by which modules are found."""
    found: list[Any] = getattr(sys, name)
    return found


def raised_by_statement(error: BaseException) -> bool:
    """Return whether an exception came from a ``raise`` in Python code, and not from outside, as Ctrl-C does."""
    import dis

    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code.co_code[frame.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _namespace(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = sys.modules.get(module)
    return getattr(found, attribute, None) if attribute else found


def _functions(name: str) -> dict[str, Any]:
    kinds = (FunctionType, BuiltinFunctionType, type)  # other things that can be called may well change
    return {key: value for key, value in dict(vars(_namespace(name) or object)).items() if isinstance(value, kinds)}


def _file_of(number: int) -> tuple[int, int]:
    stat = os.fstat(number)
    return stat.st_dev, stat.st_ino


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return ""
