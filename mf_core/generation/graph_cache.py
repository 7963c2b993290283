"""Compiled graphs that outlive the process, by MindSpore's own compile cache.

Environment variables:
    MF_GRAPH_CACHE: ``0``: neither read nor written.

MindSpore numbers the graphs that a process compiles, and takes one of the same number from a folder, whatever it is of.
So here it is given a folder of the process's own, for the time of one compilation, which holds at most the one graph
that :mod:`.graph_key` says is the very same; what it writes there is put away under that key. As everywhere in
MindSpore, one thread compiles at a time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from mindspore import Tensor, nn
from mindspore.graph import api

from ..backends.base import get_backend
from ..errors import describe
from . import graph_store
from .graph_key import form, graph_key

#: MindSpore's own switches. Who sets them uses its cache as it is.
_THEIRS: Final = ("MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH")


class _Process:
    """What holds for the whole process.

    Attributes:
        folder: Where MindSpore looks, which it asks once.
        number: Of the next graph that it compiles with its cache on.
        compiled: The forms of what cells have been called with.
    """

    folder: Path | None = None
    number: int = 0
    compiled: ClassVar[WeakKeyDictionary[nn.Cell, set[Any]]] = WeakKeyDictionary()


def run(cell: nn.Cell, *inputs: Tensor | int) -> Any:
    """Return ``cell(*inputs)``; a graph that has to be compiled for it is taken from the cache, or put there.

    Args:
        cell: Its ``construct`` is compiled (``ms.jit``).
        inputs: Tensors of fixed shapes, and numbers that the graph has in it.

    Warns:
        UserWarning: What is in the cache is damaged, or of no use; it is removed.
    """
    forms = tuple(map(form, inputs))
    compiled = _Process.compiled.setdefault(cell, set())
    if forms in compiled:
        return cell(*inputs)
    key = graph_key(cell, forms) if _in_use() else None
    output = cell(*inputs) if key is None else _run(key, cell, inputs)
    compiled.add(forms)
    return output


def _in_use() -> bool:
    off = os.environ.get("MF_GRAPH_CACHE") == "0" or any(name in os.environ for name in _THEIRS)
    return not off and get_backend().keeps_graphs


def _run(key: str, cell: nn.Cell, inputs: tuple[Tensor | int, ...]) -> Any:
    stored = graph_store.find(key)
    with _window(stored) as folder:
        try:
            output = cell(*inputs)
        except Exception as error:
            if stored is None:
                raise
            why = describe(error)
        else:
            _put_away(key, folder, stored)
            return output
    _give_up(key, why)
    return cell(*inputs)


def _give_up(key: str, why: str) -> None:
    graph_store.drop(key)
    warnings.warn(f"a graph in the cache cannot be used, and is compiled anew: {why}", stacklevel=2)


@contextmanager
def _window(stored: bytes | None) -> Iterator[Path]:
    """Have MindSpore's cache on, in a folder that holds ``stored`` as the next graph to be compiled."""
    if _Process.folder is None:
        _Process.folder = Path(tempfile.mkdtemp(prefix="mf-graphs-"))
    else:
        _Process.folder.mkdir(mode=0o700)
    folder = _Process.folder / "rank_0" / "graph_cache"
    variables = dict(zip(_THEIRS, ("1", str(_Process.folder)), strict=True))
    script = api.entry_script_path
    try:
        if stored is not None:
            folder.mkdir(parents=True)
            (folder / f"compile_cache_{_Process.number}.mindir").write_bytes(stored)
        api.entry_script_path = None  # MindSpore would read the user's script, to see whether it has changed
        os.environ.update(variables)
        yield folder
    finally:
        for name in variables:
            os.environ.pop(name, None)
        api.entry_script_path = script
        shutil.rmtree(_Process.folder, ignore_errors=True)


def _put_away(key: str, folder: Path, stored: bytes | None) -> None:
    """Keep what MindSpore has written, and remember the number that it has come to."""
    found = {int(path.stem.rpartition("_")[2]): path.read_bytes() for path in folder.glob("compile_cache_*.mindir")}
    written = [data for data in found.values() if data != stored]
    if stored is not None and written:
        _give_up(key, "MindSpore has not taken it")
    if len(written) == 1:
        graph_store.keep(key, written[0])
    if found:
        _Process.number = max(found) + 1
