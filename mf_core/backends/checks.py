"""The checks of a backend on this machine, reported one by one with a remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check: a component that the backend looked for.

    Attributes:
        name: What it is: ``"driver"``, ``"mindspore"``.
        ok: Whether it is there and fits.
        found: What was found: a version, a path, a number; or what is wrong.
        wanted: What would fit, where that can be said.
        remedy: What to type or read when it does not.
        required: Whether the backend cannot be used without it. Otherwise it is worth a warning.
    """

    name: str
    ok: bool
    found: str = ""
    wanted: str = ""
    remedy: str = ""
    required: bool = True

    @property
    def stops(self) -> bool:
        """Whether the backend cannot be used because of this."""
        return self.required and not self.ok

    def __str__(self) -> str:
        return f"{self.name}: {self.found or ('there' if self.ok else 'missing')}" + (
            f" (wanted: {self.wanted})" if self.wanted and not self.ok else ""
        )


def first_missing(checks: tuple[Check, ...]) -> str:
    """Return, for :attr:`mf_core.backends.base.Probe.reason`, the first missing required component.

    With it comes its remedy. The text is empty where nothing is missing.
    """
    check = next((check for check in checks if check.stops), None)
    if check is None:
        return ""
    return f"{check}; {check.remedy}" if check.remedy else str(check)


def check_package(package: str, at_least: str, below: str, remedy: str, *, required: bool = True) -> Check:
    """Return whether a Python package is installed in a version that fits, without importing it.

    Args:
        package: Name of the distribution.
        at_least: Lowest version that fits, ``"2.10"``.
        below: Lowest version that is too high, ``"2.11"``.
        remedy: What to type otherwise.
        required: Whether the backend cannot be used without it.
    """
    import importlib_metadata
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    wanted = f">={at_least},<{below}"
    try:
        metadata = importlib_metadata.distribution(package).read_text("METADATA") or ""
    except importlib_metadata.PackageNotFoundError:
        return Check(package, False, "not installed", wanted, remedy, required)
    # Not importlib_metadata.version, which parses the whole description: 15 ms of each start.
    line = re.search(r"^Version: (\S+)", metadata, re.MULTILINE)
    version = line[1] if line else "unknown"
    try:
        fits = SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidVersion:
        fits = False
    return Check(package, fits, version, wanted, "" if fits else remedy, required)


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``"25.3.RC1"`` gives ``(25, 3)``."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
