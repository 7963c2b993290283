"""What a package imports, and what its distribution requires."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import importlib_metadata

from ...plugins.manager import normalize


def imports_of(package: str) -> dict[str, str]:
    """Return the top-level modules that a package imports when its modules are imported -> a file that does.

    Imports within functions, ``try`` and ``if`` are the package's own to deal with.
    """
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec is not None else []
    found: dict[str, str] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            try:
                tree = ast.parse(file.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError):
                continue  # that it cannot be imported is another check's
            for name in _imports(tree):
                found.setdefault(name, str(file.relative_to(folder.parent)))
    return found


@functools.cache
def distributions_of_modules() -> dict[str, frozenset[str]]:
    """Return the installed top-level modules, and the distributions that each is of. It takes seconds, once."""
    found = importlib_metadata.packages_distributions()
    return {module: frozenset(map(normalize, names)) for module, names in found.items()}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def required_by(distribution: str) -> set[str]:
    """Return the distributions that one requires, and those that they require, as far as they are installed."""
    seen: set[str] = set()
    pending = [normalize(distribution)]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        try:
            wanted = importlib_metadata.requires(current) or []
        except importlib_metadata.PackageNotFoundError:
            continue
        names = (re.match(r"[\w.-]+", item) for item in wanted if "extra ==" not in item)
        pending += [normalize(name[0]) for name in names if name]
    return seen
