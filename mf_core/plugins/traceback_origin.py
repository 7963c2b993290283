"""The line of a plugin's code that caused a fault."""

from __future__ import annotations

import importlib.util
import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import importlib_metadata
import pluggy

from .. import errors
from ..errors import printable


def plugin_line(error: BaseException, module: str) -> str:
    """Return ``"file:line in function: source"`` of the last frame that is the plugin's; empty where there is none.

    Frames of the standard library, of this package and of what calls the hooks are skipped. Where a frame in
    the plugin's package is on the way to the fault, it counts and not what it called.

    Args:
        error: What was raised.
        module: The module that the plugin's entry point names.
    """
    root = _root(module)
    found = [(file, line, name, text) for file, line, name, text in _frames(error) if not _is_ours(file)]
    own = [frame for frame in found if root and Path(frame[0]).is_relative_to(root)]
    if not (own or found):
        return ""
    file, line, name, text = (own or found)[-1]
    return printable(f"{file}:{line} in {name}" + (f": {text}" if text else ""))


def line_of(function: Any) -> str:
    """Return where a function is defined, in the same form, for wrong results."""
    code = getattr(function, "__code__", None)
    return printable(f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}") if code is not None else ""


def _frames(error: BaseException) -> Iterator[tuple[str, int, str, str]]:
    """Yield the frames of an exception and of those that led to it, the last one last."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and all(current is not item for item in chain) and len(chain) < 10:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    for item in reversed(chain):
        for frame, line in traceback.walk_tb(item.__traceback__):
            file = frame.f_code.co_filename
            yield file, line, frame.f_code.co_name, linecache.getline(file, line).strip()
        if isinstance(item, SyntaxError) and item.filename:
            yield str(item.filename), item.lineno or 0, "<module>", str(item.text or "").strip()


def _is_ours(file: str) -> bool:
    if file.startswith("<"):
        return True  # <frozen importlib._bootstrap>, <string>
    path = Path(file)
    if any(path.is_relative_to(Path(str(module.__file__)).parent) for module in (errors, importlib_metadata, pluggy)):
        return True
    library = any(path.is_relative_to(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib"))
    return library and "site-packages" not in path.parts


def _root(module: str) -> Path | None:
    """Return the folder of the package that a module is in, or the module's own file, without importing it."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except Exception:  # a finder may fail in any way
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else Path(spec.origin) if spec.origin else None
