"""Where a model's files come from: a directory, a repository on the hub, an installed package, or a plain URL.

:func:`open_source` turns a location into a :class:`Source`, whose :meth:`Source.path` gives the local path of one file
and fetches it first if need be. A file is whole and checked, or it is not there: a download has a temporary name until
it is complete, and one whose SHA-256 is known is refused when it differs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import ArgumentError, FileMissingError
from .cache import cache_dir
from .folder import Folder, package_folder
from .repository import Repository
from .source import Source
from .url import UrlFolder

__all__ = ["Source", "cache_dir", "open_source"]


def open_source(location: str, *, revision: str | None = None, sha256: Mapping[str, str] | None = None) -> Source:
    """Return the source at a location. Nothing is fetched yet.

    Args:
        location: An existing directory, ``"hub:owner/name"``, ``"hub:owner/name@revision"``,
            ``"package:pkg.sub/folder"`` (a folder of an installed package, which is not imported) or
            ``"https://host/folder"``.
        revision: Branch, tag or commit of a hub repository; by default the one in ``location``, else its main branch.
        sha256: File name -> SHA-256 of its bytes, for files that are downloaded. Every file of a URL must be listed: an
            optional file that such a list leaves out counts as not being there.

    Raises:
        ArgumentError: The location is malformed, or takes no revision.
        FileMissingError: There is no such directory, or no such folder in the package.
        NotInstalledError: The package is not installed.
    """
    location = os.fspath(location)
    checksums = {name: digest.lower() for name, digest in (sha256 or {}).items()}
    if location.startswith("hub:"):
        return Repository(location, revision, checksums)
    if revision is not None:
        raise ArgumentError(
            f"{location!r} takes no revision ({revision!r})",
            value=revision,
            why="only repositories on the hub have revisions",
            hint="leave it out, or name a repository on the hub",
        )
    if location.startswith("package:"):
        return Folder(location, package_folder(location))
    if location.startswith(("http://", "https://")):
        if not _names_a_folder(location):
            raise ArgumentError(f"{location!r} is not the URL of a folder", value=location, hint="https://host/folder")
        return UrlFolder(location.rstrip("/"), checksums)
    folder = os.path.expanduser(location)
    if os.path.isdir(folder):
        return Folder(location, folder)
    hint = "give a directory, 'hub:owner/name', 'package:pkg/folder' or 'https://host/folder'"
    if os.path.isfile(folder):
        hint = f"that is a file: give its directory, {os.path.dirname(folder) or '.'!r}"
    elif Repository.PATTERN.match(f"hub:{location}"):
        hint = f"for a repository on the hub write 'hub:{location}'"
    raise FileMissingError(f"there is no directory {location!r}", value=location, hint=hint)


def _names_a_folder(location: str) -> bool:
    try:
        url = urlsplit(location)
    except ValueError:
        return False
    return bool(url.hostname) and not url.query and not url.fragment
