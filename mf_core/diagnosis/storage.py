"""Folders that the library writes to: permissions and free space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .finding import Finding

#: Below this many bytes, downloads and checkpoints are likely to fail.
_LITTLE = 2e9


def findings() -> Iterator[Finding]:
    """Yield findings about the cache, and about the folder for downloads from hubs."""
    from ..hub import cache_dir

    yield _of("cache", cache_dir(), "MF_CACHE")
    yield _of("hub cache", _hub_cache(), "HF_HOME")


def _of(subject: str, folder: Path, variable: str) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        message = f"{folder} cannot be made: {existing} is a file"
        return Finding("error", subject, message, f"set {variable} to a folder of yours", "cache-unwritable")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("error", subject, f"{folder} cannot be written", f"set {variable} to a folder of yours",
                       "cache-unwritable")  # fmt: skip
    free = shutil.disk_usage(existing).free
    message = f"{_home(folder)}, {free / 1e9:.1f} GB free"
    if free < _LITTLE:
        return Finding("warning", subject, message, f"free some space, or set {variable} to another disk", "disk-full")
    return Finding("ok", subject, message, code="cache")


def _hub_cache() -> Path:
    """Return where huggingface_hub keeps files, by its own variables, without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return Path(os.path.abspath(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))))


def _home(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
