"""A plugin that this process has for a while, without being installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

from ...errors import ArgumentTypeError, SpecError
from ...hookspecs import ENTRY_POINT_GROUP
from ...plugins.loading import HOOKS
from ...plugins.manager import PluginRecord, Spec, names_of, normalize
from ...plugins.registry import Registry, registry


@contextmanager
def temporary_plugin(*offers: Spec | Callable[[], Any], distribution: str = "mf-temporary") -> Iterator[PluginRecord]:
    """Add a plugin to this process's registry for the time of a ``with`` block; then all is as it was.

    Args:
        *offers: Specs, or functions called like a hook (``mf_configs``, …) that return them, marked by ``hookimpl`` or
            not. Targets have to be importable.
        distribution: Whose plugin it pretends to be.

    Yields:
        Its record.

    Raises:
        SpecError: A name is claimed twice, or a function returns what its hook must not.
        ArgumentTypeError: Something is neither a spec nor a hook's function.
    """
    specs = tuple(spec for offer in offers for spec in _specs_of(offer))
    claimed = [claim for spec in specs for claim in names_of(spec)]
    for kind, name in claimed:
        if claimed.count((kind, name)) > 1:
            raise SpecError(f"the temporary plugin claims the {kind} {name!r} twice", value=name)
    owner = normalize(distribution)
    record = PluginRecord("temporary", "temporary", owner, "0", str(Path.cwd()), ENTRY_POINT_GROUP, specs=specs)
    together = Registry([*registry.records, record])
    before = registry._records, registry._entries, {kind: copy(names) for kind, names in registry._runtime.items()}
    registry._records, registry._entries = together._records, together._entries
    try:
        yield record
    finally:
        registry._records, registry._entries, runtime = before
        registry._runtime.clear()
        registry._runtime.update(runtime)


def _specs_of(offer: Any) -> list[Spec]:
    given: Any = offer
    if isinstance(offer, tuple(HOOKS.values())):
        return [given]
    name = getattr(offer, "__name__", "")
    if name not in HOOKS or not callable(offer):
        raise ArgumentTypeError(
            f"{offer!r:.80} is neither a spec nor a function called like a hook", value=offer,
            hint=f"the hooks are: {', '.join(HOOKS)}",
        )  # fmt: skip
    result = offer()
    if not isinstance(result, (list, tuple)) or not all(isinstance(spec, HOOKS[name]) for spec in result):
        raise SpecError(f"{name}() returned {result!r:.80}, not a list of {HOOKS[name].__name__}", value=result)
    return list(result)
