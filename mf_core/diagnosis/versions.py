"""Versions that do not go together: what packages ask for themselves, and what is known beyond that."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import importlib_metadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ..plugins.discovery import PluginRecord
from .finding import Finding


@dataclass(frozen=True)
class Rule:
    """Versions of two packages that fail together, which their own metadata does not say.

    Attributes:
        package: The one.
        versions: Those of it that the rule is about.
        other: The other package, or ``python``.
        wanted: Versions of it that work.
        why: What happens otherwise.
        source: Where this is known from.
    """

    package: str
    versions: str
    other: str
    wanted: str
    why: str
    source: str


#: Drivers and CANN are the Ascend backend's business, which has its own table: ``mf doctor --backend ascend``.
RULES: Final = (
    Rule("mindspore", ">=2.10,<2.11", "numpy", "<2", "it is built for numpy 1.x, and its first conversions fail",
         "running MindSpore 2.10.0 with numpy 2.0 to 2.2; its metadata asks for numpy>=1.20 alone"),
    Rule("mindspore", ">=2.10,<2.11", "python", ">=3.10,<3.13", "it has no build for this Python",
         "the wheels of MindSpore 2.10.0: cp310, cp311, cp312"),
)  # fmt: skip


def findings(records: Sequence[PluginRecord]) -> Iterator[Finding]:
    """Yield findings about the core's and MindSpore's version, and of what each plugin requires."""
    yield Finding("ok", "mf-framework", version_of("mf-framework") or "not installed", code="version")
    mindspore = version_of("mindspore")
    if mindspore is None:
        yield Finding("error", "mindspore", "not installed", "pip install mf-cpu-backend", "version-missing")
    else:
        yield Finding("ok", "mindspore", mindspore, code="version")
    ruled = set()
    for rule in RULES:
        have, other = version_of(rule.package), _other(rule.other)
        if have and other and _in(rule.versions, have) and not _in(rule.wanted, other):
            ruled.add(rule.other)
            hint = f"pip install '{rule.other}{rule.wanted}'" if rule.other != "python" else f"use Python {rule.wanted}"
            message = f"{other}, but {rule.package} {have} needs {rule.wanted}: {rule.why}"
            yield Finding("error", rule.other, message, hint, "version-mismatch")
    for name in dict.fromkeys(["mf-framework", *(record.distribution for record in records)]):
        yield from _requirements(name, ruled)


def version_of(package: str) -> str | None:
    """Return an installed package's version, or None."""
    try:
        return importlib_metadata.version(package)
    except importlib_metadata.PackageNotFoundError:
        return None


def _requirements(name: str, ruled: set[str]) -> Iterator[Finding]:
    try:
        dist = importlib_metadata.distribution(name)
        python, asked = dist.metadata.get("Requires-Python"), dist.requires or []
    except Exception:  # metadata of any form: what is wrong with it, the record says
        return
    if python and not _in(python, platform.python_version()):
        message = f"it is for Python {python}, and this is {platform.python_version()}"
        yield Finding("error", name, message, f"use a Python that fits, or another {name}", "version-python")
    for text in asked:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield Finding("warning", name, f"it requires {text!r}, which is no requirement", "report it to its authors",
                          "version-unreadable")  # fmt: skip
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        have, wanted = version_of(requirement.name), f"{requirement.name}{requirement.specifier}"
        if have is None:
            message = f"it requires {wanted}, which is not installed"
            yield Finding("error", name, message, f"pip install '{wanted}'", "version-missing")
        elif not _in(str(requirement.specifier), have) and requirement.name not in ruled:
            core = requirement.name == "mf-framework"
            hint = f"pip install '{wanted}'" + (f", or a release of {name} that is for {have}" if core else "")
            message = f"it requires {wanted}, and {have} is installed"
            yield Finding("error" if core else "warning", name, message, hint, "version-mismatch")


def _in(specifier: str, version: str) -> bool:
    """Return whether a version is in a range; a bound that cannot be parsed is ignored."""
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _other(name: str) -> str | None:
    return ".".join(map(str, sys.version_info[:3])) if name == "python" else version_of(name)

