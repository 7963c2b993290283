"""Names that several distributions claim, and settings that resolve them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from ..errors import ConflictError
from ..plugins.registry import Registry
from .finding import Finding


def findings(registry: Registry) -> Iterator[Finding]:
    """Yield one finding for each set of distributions that claim the same names."""
    rivals: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for kind in registry.kinds():
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except ConflictError as error:
                owners = tuple(entry.owner for entry in registry.entries(kind) if entry.name == name)
                rivals[owners].setdefault(error.what.partition(" is claimed by ")[0], name)
    for owners, names in rivals.items():
        if len(set(owners)) == 1:
            message = f"its entry points claim {', '.join(list(names)[:6])} twice; those after the first are left out"
            hint = f"this is a fault of {owners[0]}: report it to its authors"
            yield Finding("error", f"plugin {owners[0]}", message, hint, "plugin-failed")
            continue
        count = len(names)
        listed = ", ".join(list(names)[:6]) + (f" and {count - 6} more" if count > 6 else "")
        message = f"{listed} {'is' if count == 1 else 'are'} claimed by {' and '.join(owners)}"
        set_already = os.environ.get("MF_PREFER", "").strip()
        prefer = f"{set_already},{owners[0]}" if set_already else owners[0]
        name = next((n for label, n in names.items() if label.startswith("the preset")), next(iter(names.values())))
        hint = (
            f"export MF_PREFER={prefer} (or another of them); or write '{owners[0]}:{name}' where it is meant; "
            f"or pip uninstall {owners[-1]}"
        )
        yield Finding("warning", "names", message, hint, "conflict")
