"""Distributions whose installation is not what their sources or their metadata say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import printable
from ..hookspecs import ENTRY_POINT_GROUP
from ..plugins.discovery import PluginRecord, identity, installed, normalize
from .finding import Finding

_GROUP = re.compile(r"^\[(.+)\]\s*$", re.MULTILINE)
_LIKE_OURS = re.compile(r"mf[-_. ]?(core|framework|plugins?)", re.IGNORECASE)


def findings(records: Sequence[PluginRecord]) -> Iterator[Finding]:
    """Yield faults in how plugins are installed."""
    for location in dict.fromkeys(record.location for record in records if record.group != "builtin"):
        of_one = [record for record in records if record.location == location]
        if (Path(location) / "pyproject.toml").is_file():
            yield from _editable(Path(location), of_one)
    yield from _folders()


def _editable(source: Path, records: Sequence[PluginRecord]) -> Iterator[Finding]:
    """Compare an editable install with its source folder as it is now."""
    sections = _sections((source / "pyproject.toml").read_text(encoding="utf-8", errors="replace"))
    record = records[0]
    again = f"pip install --editable {source}"
    subject = f"editable {record.distribution}"
    version = sections.get("project", {}).get("version")
    if version and version != record.version:
        message = f"its sources are {version}, and {record.version} is what was installed"
        yield Finding("warning", subject, message, again, "install-stale")
    name = sections.get("project", {}).get("name")
    if name and normalize(name) != record.distribution:
        message = f"its source folder {source} holds {name} now"
        yield Finding("warning", subject, message, f"pip uninstall {record.distribution}; {again}", "install-stale")
    for group in (f'project.entry-points."{ENTRY_POINT_GROUP}"', f"project.entry-points.'{ENTRY_POINT_GROUP}'"):
        now = sections.get(group)
        if now is not None and now != {each.name: each.module for each in records}:
            listed = ", ".join(f"{key} = {value}" for key, value in now.items()) or "none"
            message = f"its pyproject.toml has other entry points than were installed: {listed}"
            yield Finding("warning", subject, printable(message), again, "install-stale")


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Return the plain ``key = "text"`` lines of a TOML file by section; tomllib is not in every Python we run on."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    section = ""
    for line in text.splitlines():
        header = re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line)
        value = re.match(r"""\s*["']?([\w.-]+)["']?\s*=\s*["']([^"']*)["']\s*(#.*)?$""", line)
        if header:
            section = header[1].strip()
            found[section] = {}
        elif value:
            found[section][value[1]] = value[2]
    return found


def _folders() -> Iterator[Finding]:
    """Look at the metadata folders on the path: leftovers, doubles, and entry points in a group that nothing reads."""
    copies_of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for dist in installed():
        with suppress(OSError, ValueError):
            entry_points = dist.read_text("entry_points.txt") or ""
            groups = _GROUP.findall(entry_points)
            name, version = identity(dist)
            folder = printable(str(getattr(dist, "_path", dist.locate_file(""))))
            if not name and any(group.startswith("mf_core.v") for group in groups):
                yield Finding("warning", "installation", f"{folder} has no METADATA: what is left of a plugin",
                              "delete the folder, and install the plugin again", "install-leftover")  # fmt: skip
            elif name and groups:
                yield from _misnamed(printable(name), groups)
                if any(group.startswith("mf_core.v") for group in groups):
                    copies_of[normalize(name)].append((printable(version), _parent(dist)))
    for name, copies in copies_of.items():
        if len({folder for _, folder in copies}) > 1:
            listed = ", ".join(f"{version} in {folder}" for version, folder in copies)
            yield Finding("warning", name, f"it is installed more than once: {listed}; the first counts",
                          f"pip uninstall {name}, more than once", "install-double")  # fmt: skip


def _misnamed(name: str, groups: Sequence[str]) -> Iterator[Finding]:
    for group in groups:
        if _LIKE_OURS.match(group) and not re.match(r"mf_core\.v\d+\Z", group):
            message = f"its entry points are in the group {printable(group)!r}, which nothing reads"
            hint = f'write [project.entry-points."{ENTRY_POINT_GROUP}"] in its pyproject.toml, and install it again'
            yield Finding("warning", name, message, hint, "install-group")


def _parent(dist: Any) -> str:
    return printable(str(dist.locate_file("")))
