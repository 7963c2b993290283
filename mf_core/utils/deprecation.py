"""Deprecated names: they keep working, and warn once of what replaces them.

What is public stays for one minor version after it was deprecated: what 0.3 deprecates works in all of 0.3, and may be
gone in 0.4. See docs/api.md for what is public.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])

_said: set[str] = set()


class MFDeprecationWarning(DeprecationWarning):
    """Something of this library, or of a plugin of it, will be gone; shown once each, and always by ``mf``."""


def warn_deprecated(name: str, *, since: str, removed_in: str, instead: str, stacklevel: int = 2) -> None:
    """Say that ``name`` is deprecated, the first time in this process.

    Args:
        name: What is deprecated, as the user writes it: ``"mf_core.old_name"``, ``"f(old=…)"``.
        since: The version that deprecated it, ``"0.3"``.
        removed_in: The version from which on it may be gone, ``"0.4"``.
        instead: What to write in its place.
        stacklevel: As for :func:`warnings.warn`; 2 is the caller of the function that calls this.
    """
    if name in _said:
        return
    _said.add(name)
    message = f"{name} is deprecated since {since} and will be gone in {removed_in}: use {instead}"
    frame, wrappers = inspect.currentframe(), 0
    while frame is not None and frame.f_back is not None and frame.f_back.f_code.co_filename == __file__:
        frame, wrappers = frame.f_back, wrappers + 1  # decorators of this module, of which there may be several
    warnings.warn(message, MFDeprecationWarning, stacklevel=wrappers + 2 if wrappers else stacklevel + 1)


def deprecated(name: str, *, since: str, removed_in: str, instead: str) -> Callable[[F], F]:
    """Return a decorator for a function, or a class, that warns when it is called.

    Args:
        name: What is deprecated, as the user writes it.
        since: The version that deprecated it.
        removed_in: The version from which on it may be gone.
        instead: What to write in its place.

    Example::

        @deprecated("mf_core.seed_all", since="0.3", removed_in="0.4", instead="mf_core.set_seed")
        def seed_all(seed): ...
    """

    def decorate(function: F) -> F:
        if inspect.isclass(function):
            made = function.__init__

            @functools.wraps(made)
            def init(self: Any, *arguments: Any, **keywords: Any) -> None:
                if type(self) is function:  # not what inherits from it, which warns for itself or not at all
                    warn_deprecated(name, since=since, removed_in=removed_in, instead=instead)
                made(self, *arguments, **keywords)

            function.__init__ = init  # type: ignore[method-assign]
            return function

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            warn_deprecated(name, since=since, removed_in=removed_in, instead=instead)
            return function(*arguments, **keywords)

        return call  # type: ignore[return-value]

    return decorate


def deprecated_argument(old: str, *, since: str, removed_in: str, new: str | None = None) -> Callable[[F], F]:
    """Return a decorator for a function one of whose keyword arguments has another name now, or none.

    Args:
        old: The argument that is deprecated; the function itself need not have it any more.
        since: The version that deprecated it.
        removed_in: The version from which on it may be gone.
        new: The argument that takes its value; None: it is ignored.

    Raises:
        ArgumentError: (by the function) Both names are given.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            if old in keywords:
                whose = function.__qualname__
                instead = f"{new}=…" if new else "nothing: it has no effect"
                warn_deprecated(f"{whose}({old}=…)", since=since, removed_in=removed_in, instead=instead)
                value = keywords.pop(old)
                if new in keywords:
                    raise ArgumentError(
                        f"{whose}() was given {old}= and {new}=, which are the same", value=value,
                        hint=f"leave {old}= out",
                    )
                if new:
                    keywords[new] = value
            return function(*arguments, **keywords)

        return call  # type: ignore[return-value]

    return decorate


def moved(module: str, names: Mapping[str, str], *, since: str, removed_in: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module whose names live elsewhere now.

    Args:
        module: The module's ``__name__``.
        names: Old name -> where it is: ``{"seed_all": "mf_core.utils.seed:set_seed"}``.
        since: The version that deprecated them.
        removed_in: The version from which on they may be gone.
    """

    def module_getattr(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
        target, _, attribute = names[name].partition(":")
        instead = f"{target}.{attribute}"
        warn_deprecated(f"{module}.{name}", since=since, removed_in=removed_in, instead=instead)
        return getattr(importlib.import_module(target), attribute)

    return module_getattr
