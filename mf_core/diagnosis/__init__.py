"""Diagnosis of an installation, without network or device, and with plugins isolated.

Plugins are loaded in separate processes here, so that one which ends its process or never comes to an end is named
and not fatal.
"""

from __future__ import annotations

from collections.abc import Iterator

from .finding import LEVELS as LEVELS
from .finding import Finding as Finding
from .finding import Level as Level


def examine_all() -> Iterator[Finding]:
    """Yield every finding about this installation."""
    from ..plugins.manager import selected
    from ..plugins.registry import BUILTINS, Registry
    from . import backends, conflicts, installs, plugins, settings, storage, versions
    from .examination import examine

    records = selected(BUILTINS)
    examinations = examine(records)
    registry = Registry([examination.record for examination in examinations])
    yield from versions.findings(records)
    yield from plugins.findings(examinations)
    yield from installs.findings(records)
    yield from conflicts.findings(registry)
    yield from settings.findings(records, registry)
    yield from backends.findings(registry)
    yield from storage.findings()


def examine_backend(name: str) -> Iterator[Finding]:
    """Yield each piece that a backend looked for, and whether it can be used."""
    from . import backends

    yield from backends.pieces(name)
