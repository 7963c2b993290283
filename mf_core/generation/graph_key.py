"""What a compiled graph depends on, as one digest: when any of it changes, the digest does.

That is the cells with all that they hold but the weights' values, the inputs' shapes and types, the source code that
the compiler may read, MindSpore, its settings, and the backend with its kernels. What cannot be told has no digest.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import platform
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from pydantic import BaseModel

from ..backends.base import get_backend
from ..checkpoint.weights import to_numpy

logger = logging.getLogger("mf_core")

#: To be raised when graphs are made or kept in another way.
_FORMAT: Final = 1

#: MindSpore's settings that change graphs; the parallel ones have to be at rest.
_SETTINGS: Final = ("device_target", "mode", "jit_config", "jit_syntax_level", "deterministic", "graph_kernel_flags")

#: Variables that name places and change no graph.
_PLACES: Final = ("MS_OM_PATH", "MS_DEV_SAVE_GRAPHS_PATH")

#: What MindSpore notes on a cell in the course of things.
_NOTES: Final = frozenset({
    "_create_time", "_id", "arguments_key", "_compile_cache", "_phase_cache", "_compile_phase", "_compiled",
    "_exist_objs", "_exist_names", "_init_flag", "_is_check_and_refresh", "_lazy_construct_sig",
    "_lazy_user_parameters", "_mutable_flags", "__parse_method__", "_params_list", "_scope",
    "is_top_cell",
})  # fmt: skip

#: What every cell has.
_OF_ANY_CELL: Final = frozenset(nn.Cell().__dict__)

#: Packages whose source does not belong to a digest: MindSpore and numpy are in it by their versions, and what the core
#: needs besides has no part in graphs.
_KNOWN: Final = (
    "annotated_types", "importlib_metadata", "mindspore", "numpy", "packaging", "pluggy", "pybind11_builtins",
    "pydantic", "pydantic_core", "safetensors", "tokenizers", "tqdm", "typing_extensions", "typing_inspection", "yaml",
    "zipp",
)  # fmt: skip


class _CannotTell(Exception):
    """Something is held of which it cannot be said whether it is the same in another process."""


def form(value: Tensor | int) -> Any:
    """Return what a graph depends on of an input: a tensor's shape and type, a number itself."""
    return (tuple(value.shape), str(value.dtype)) if isinstance(value, Tensor) else value


def graph_key(cell: nn.Cell, forms: Sequence[Any]) -> str | None:
    """Return the digest of what the graph of ``cell`` for inputs of these forms depends on; None: it cannot be told.

    Args:
        cell: Not spread over processes.
        forms: See :func:`form`.
    """
    try:
        return _Description().of(cell, forms)
    except _CannotTell as error:
        logger.info("the graph of %s is not kept: %s", type(cell).__name__, error)
        return None


class _Description:
    """The parts of the digest, and the modules whose source belongs to it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.modules: set[str] = set()
        self.seen: dict[int, tuple[int, Any]] = {}  # each object once; held, so that no other gets its id

    def of(self, cell: nn.Cell, forms: Sequence[Any]) -> str:
        """Return the digest."""
        if ms.get_auto_parallel_context("parallel_mode") != "stand_alone" or "MS_ROLE" in os.environ:
            raise _CannotTell("the process is one of a cluster")
        self.add(_FORMAT, ms.__version__, _commit(), np.__version__, sys.version, platform.machine())
        self.add(*(str(ms.get_context(name)) for name in _SETTINGS))
        self.add(*(item for item in sorted(os.environ.items()) if _matters(item[0])))
        self.add(*forms)
        backend = type(get_backend())
        self.describe(cell)
        self.describe(backend)
        for path in sorted(Path(inspect.getfile(backend)).parent.glob("*.so")):
            self.add(str(path), path.read_bytes())
        for name in sorted(_reached(self.modules)):
            self.add(name, *_source(name))
            self.names(vars(sys.modules[name]))
        return hashlib.sha256("\n".join(self.parts).encode()).hexdigest()

    def add(self, *parts: Any) -> None:
        """Take plain values into the digest."""
        self.parts += (hashlib.sha256(part).hexdigest() if isinstance(part, bytes) else repr(part) for part in parts)

    def need(self, module: str) -> None:
        """Have the source of a module belong to the digest."""
        if module not in sys.modules and not _is_known(module):
            raise _CannotTell(f"the module {module} is not there any more")
        self.modules.add(module)

    def names(self, names: Mapping[str, Any]) -> None:
        """Take the functions, classes and constants of a namespace into the digest: they may have been replaced."""
        for name, value in sorted(names.items()):
            if name.startswith("__"):
                continue
            if isinstance(value, (type, types.FunctionType)):
                line = value.__code__.co_firstlineno if isinstance(value, types.FunctionType) else 0
                self.add(name, value.__module__, value.__qualname__, line)
            elif _is_constant(value):
                self.add(name)
                self.describe(value)

    def describe(self, value: Any) -> None:
        """Take any value that a cell may hold into the digest."""
        if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
            self.add(value)
        elif isinstance(value, mstype.Type):
            self.add("type", str(value))
        elif id(value) in self.seen:
            self.add("again", self.seen[id(value)][0])
        else:
            self.seen[id(value)] = len(self.seen), value
            self.describe_object(value)

    def describe_object(self, value: Any) -> None:
        if isinstance(value, (tuple, list, set, frozenset)):
            self.add(type(value).__name__, len(value))
            for item in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
                self.describe(item)
        elif isinstance(value, dict):
            self.add("dict", len(value))
            for key, item in value.items():
                self.describe(key)
                self.describe(item)
        elif isinstance(value, Parameter):  # its values are no part of a graph
            self.add("parameter", value.name, tuple(value.shape), str(value.dtype), value.requires_grad)
        elif isinstance(value, Tensor):
            self.add("tensor", tuple(value.shape), str(value.dtype), to_numpy(value).tobytes())
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self.add("array", value.shape, str(value.dtype), value.tobytes())
        elif isinstance(value, nn.Cell):
            self.describe(type(value))
            self.describe({name: held for name, held in value.__dict__.items() if not _is_note(name, held)})
        elif isinstance(value, (ops.Primitive, BaseModel)):
            self.describe(type(value))
            self.describe(value.__dict__)
        elif isinstance(value, type):
            for base in value.__mro__:
                self.add("class", base.__module__, base.__qualname__)
                self.need(base.__module__)
                if not _is_known(base.__module__):
                    self.names(vars(base))
        elif isinstance(value, types.FunctionType):
            self.add("function", value.__module__, value.__qualname__, value.__code__.co_firstlineno)
            self.need(value.__module__)
            self.describe(value.__defaults__)
            self.describe(value.__kwdefaults__)
            for held in value.__closure__ or ():
                self.describe(held.cell_contents)
        elif isinstance(value, types.MethodType):
            self.describe(value.__func__)
            self.describe(value.__self__)
        else:
            raise _CannotTell(f"it holds a {type(value).__name__}")


def _matters(variable: str) -> bool:
    return variable.startswith(("MS_", "MF_KERNELS")) and variable not in _PLACES


def _is_note(name: str, held: Any) -> bool:
    return name in _NOTES or (name in _OF_ANY_CELL and not held)  # it makes empty ones where it looks for hooks


def _is_constant(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_constant, value))
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    return isinstance(value, (bool, int, float, str, bytes, Tensor, np.ndarray, ops.Primitive, mstype.Type))


def _is_known(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _KNOWN or package in sys.stdlib_module_names


@functools.lru_cache
def _commit() -> bytes:
    try:
        return (Path(ms.__file__).parent / ".commit_id").read_bytes()
    except OSError as error:
        raise _CannotTell(str(error)) from error


def _reached(names: Iterable[str]) -> set[str]:
    """Return the modules among ``names``, and those whose functions, classes or objects they know by a global name."""
    found: set[str] = set()
    left = {name for name in names if not _is_known(name)}
    while left:
        name = left.pop()
        found.add(name)
        for value in list(vars(sys.modules[name]).values()):
            left.update(home for home in _homes(value) if home in sys.modules and not _is_known(home) | (home in found))
    return found


def _homes(value: Any) -> Iterator[str]:
    """Return the names of the modules that say what a global value does."""
    if isinstance(value, types.ModuleType):
        yield value.__name__
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _homes(item)
    else:
        homes = (getattr(value, "__module__", None), type(value).__module__)
        yield from (home for home in homes if isinstance(home, str))


def _source(name: str) -> tuple[str, bytes]:
    path = getattr(sys.modules[name], "__file__", None)
    if path is None:
        raise _CannotTell(f"the module {name} has no file")
    try:
        return path, Path(path).read_bytes()
    except OSError as error:
        raise _CannotTell(str(error)) from error
