"""Compiled graphs on disk: whole files under names that say what they are of and what is in them.

A file is ``<key>.<SHA-256 of its bytes>.mindir``. It takes its place only when whole, so processes that write at the
same time leave each other's alone; what has changed since is recognised, and what others could write is not read.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..hub.cache import cache_dir

_SUFFIX: Final = ".mindir"

#: The most that is kept; what was used longest ago goes first.
MAX_FILES: Final = 64
MAX_BYTES: Final = 256 << 20


def folder() -> Path:
    """Return where the graphs are: ``graphs`` in the cache. It is not created here."""
    return cache_dir() / "graphs"


def find(key: str) -> bytes | None:
    """Return the graph of that key; None: there is none, or none that can be trusted.

    Warns:
        UserWarning: A file is damaged. It is removed.
    """
    for path in folder().glob(f"{key}.*{_SUFFIX}"):
        try:
            if _is_writable_by_others(path.parent) or _is_writable_by_others(path):
                continue
            data = path.read_bytes()
        except OSError:
            continue
        if path.name == _name(key, data):
            with suppress(OSError):
                os.utime(path)
            return data
        warnings.warn(f"{path} is damaged; it is removed, and the graph compiled anew", stacklevel=2)
        with suppress(OSError):
            path.unlink()
    return None


def keep(key: str, data: bytes) -> None:
    """Keep a graph. A cache that cannot be written is no error: the graph is then compiled again next time."""
    path = folder() / _name(key, data)
    fresh = path.with_name(f"{uuid.uuid4().hex}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        _prune(path)


def drop(key: str) -> None:
    """Remove the graphs of that key."""
    for path in folder().glob(f"{key}.*{_SUFFIX}"):
        with suppress(OSError):
            path.unlink()


def _name(key: str, data: bytes) -> str:
    return f"{key}.{hashlib.sha256(data).hexdigest()}{_SUFFIX}"


def _is_writable_by_others(path: Path) -> bool:
    state = path.stat()
    return state.st_uid != os.geteuid() or bool(state.st_mode & 0o022)


def _prune(newest: Path) -> None:
    """Remove what is too much, and what a process that was killed has left behind; never the newest graph."""
    states = {path: path.stat() for path in newest.parent.iterdir()}
    last = states[newest].st_mtime
    for path in [path for path in states if path.suffix == ".part" and last - states[path].st_mtime > 3600]:
        path.unlink(missing_ok=True)
    graphs = sorted((p for p in states if p.suffix == _SUFFIX and p != newest), key=lambda p: -states[p].st_mtime)
    left = MAX_BYTES - states[newest].st_size
    for number, path in enumerate(graphs, 1):
        left -= states[path].st_size
        if left < 0 or number >= MAX_FILES:
            path.unlink(missing_ok=True)
