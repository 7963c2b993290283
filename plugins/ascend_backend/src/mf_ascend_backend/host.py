"""The machine as the probe sees it: files, environment, Python's search path."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """This machine, or one laid out in a folder.

    Attributes:
        root: What ``/`` is.
        env: Environment variables.
        search_path: Where Python looks for packages.
        system, machine: As :mod:`platform` names them.
        python: Python's version, two numbers.
        may_open: Whether a file may be read and written.
    """

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    search_path: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    system: str = field(default_factory=platform.system)
    machine: str = field(default_factory=platform.machine)
    python: tuple[int, int] = sys.version_info[:2]
    may_open: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)

    def path(self, name: str) -> Path:
        """Return where an absolute path of the machine is; a relative one is taken from the working directory."""
        return self.root / name.lstrip("/") if name.startswith("/") else Path(name)

    def read(self, name: str) -> str:
        """Return a file's text; empty where it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def setting(self, name: str, key: str) -> str:
        """Return the value of ``key=value`` in a file; empty where there is none. The key's case does not matter."""
        match = re.search(rf"^\s*{re.escape(key)}\s*=\s*(\S+)", self.read(name), re.MULTILINE | re.IGNORECASE)
        return match[1] if match else ""

    def folders(self, variable: str) -> list[str]:
        """Return the folders that a variable such as ``LD_LIBRARY_PATH`` lists."""
        return [folder for folder in self.env.get(variable, "").split(":") if folder]

    def library_folders(self) -> Iterator[str]:
        """Yield the folders that the loader looks into: ``LD_LIBRARY_PATH``, then those of ``/etc/ld.so.conf.d``."""
        yield from self.folders("LD_LIBRARY_PATH")
        try:
            files = sorted(self.path("/etc/ld.so.conf.d").glob("*.conf"))
        except OSError:
            return
        for file in files:
            yield from re.findall(r"^/\S+", self.read(f"/etc/ld.so.conf.d/{file.name}"), re.MULTILINE)

    def has_library(self, name: str) -> bool:
        """Return whether the loader would find a library."""
        return any(self.path(f"{folder}/{name}").exists() for folder in self.library_folders())

    def package(self, name: str) -> str:
        """Return the folder of a Python package, without importing it; empty where it is not installed."""
        found = (f"{folder.rstrip('/')}/{name}" for folder in self.search_path if folder)
        return next((folder for folder in found if self.path(f"{folder}/__init__.py").exists()), "")

    def package_version(self, name: str) -> str:
        """Return the version that a package's ``version.py`` tells; empty where there is none."""
        folder = self.package(name)
        match = folder and re.search(r"version\w*\s*=\s*['\"](\d[^'\"]*)", self.read(f"{folder}/version.py"))
        return match[1] if match else ""
