"""Sources on the local disk: a directory, and a folder of an installed package."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import ArgumentError, FileMissingError, NotInstalledError, did_you_mean
from ..utils.commit import finish
from ..utils.files import ADAPTER_FILE, CONFIG_FILE
from .source import Source, stays_inside

_PACKAGE: Final = re.compile(r"package:(?P<package>[A-Za-z_]\w*(\.\w+)*)(/(?P<folder>.+))?\Z")


class Folder(Source):
    """A directory, wherever it is. A save into it that was interrupted is finished first."""

    def __init__(self, location: str, root: str | os.PathLike[str]) -> None:
        super().__init__(location)
        self._root = Path(root)
        finish(self._root)
        self._identity = self._identify()

    def changed(self) -> bool:
        """See the base class: a save puts a new file in the place of the configuration."""
        return self._identify() != self._identity

    def _identify(self) -> list[tuple[int, int]]:
        found = []
        for name in (CONFIG_FILE, ADAPTER_FILE):
            with suppress(OSError):
                stat = os.stat(self._root / name)
                found.append((stat.st_ino, stat.st_mtime_ns))
        return found

    def names(self, folder: str) -> list[str]:
        """See the base class."""
        path = self._root / folder
        return sorted(entry.name for entry in path.iterdir() if entry.is_file()) if path.is_dir() else []

    def _find(self, filename: str, required: bool) -> Path | None:
        path = self._root / filename
        if os.path.isfile(path):  # unlike Path.is_file, false for names that the system refuses
            return path
        dangling = os.path.islink(path) and not os.path.exists(path)
        if not required and not dangling:
            return None
        there = sorted(entry.name for entry in path.parent.iterdir()) if os.path.isdir(path.parent) else []
        raise FileMissingError(
            f"there is no file '{filename}' in {self.location}",
            value=str(path),
            why=f"it is a link to {os.path.realpath(path)}, which does not exist" if dangling else None,
            hint=did_you_mean(path.name, there) or f"{path.parent} holds {', '.join(there[:10]) or 'no files'}",
        )


def package_folder(location: str) -> Path:
    """Return the folder that ``"package:pkg.sub/folder"`` names; nothing is imported.

    Raises:
        ArgumentError: The location is malformed.
        NotInstalledError: The package is not installed.
        FileMissingError: The package has no such folder on disk.
    """
    match = _PACKAGE.match(location)
    folder = match["folder"] or "" if match else ""
    if match is None or not stays_inside(folder):
        raise ArgumentError(f"{location!r} is malformed", value=location, hint="'package:pkg.sub/folder/inside'")
    top, *rest = match["package"].split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name, this imports nothing
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise NotInstalledError(
            f"{location!r} is in the package {top!r}, which is not installed",
            value=location,
            hint=f"install the distribution that provides {top!r} into {sys.prefix}",
        )
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    for root in roots:
        path = root.joinpath(*rest, folder)
        if path.is_dir():
            return path
    raise FileMissingError(
        f"the installed package {top!r} has no folder '{Path(*rest, folder)}' on disk",
        value=location,
        why=f"looked in {', '.join(map(str, roots)) or f'{spec.origin}, which is not a package'}",
        hint=f"install the distribution that provides {top!r} again, unpacked, and see that it ships that folder",
    )
