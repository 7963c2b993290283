"""The library's own cache, and the SHA-256 of files, read once as long as they do not change."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import ArgumentError, describe
from ..utils.paths import user_path

_CHUNK: Final = 1 << 20


def cache_dir() -> Path:
    """Return the cache: ``$MF_CACHE``, else ``$XDG_CACHE_HOME/mf``, else ``~/.cache/mf``. It is not created here.

    Where ``MF_CACHE`` is not set and the other cannot be written, or there is no home directory, it is a temporary
    folder, which is removed when the process ends.

    Raises:
        ArgumentError: ``MF_CACHE`` begins with ``~``, and there is no home directory.

    Warns:
        UserWarning: The cache is a temporary folder.
    """
    chosen = os.environ.get("MF_CACHE")
    if chosen:
        return Path(os.path.abspath(user_path(chosen)))
    return _default(os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mf"), os.path.expanduser("~"))


@functools.cache
def _default(location: str, home: str) -> Path:
    """Return the folder of a location; ``home`` is what ``~`` stands for in it."""
    try:
        path = Path(os.path.abspath(user_path(location)))
        why = _unwritable(path)
    except ArgumentError as error:
        why = error.what
    if why is None:
        return path
    folder = tempfile.mkdtemp(prefix="mf-cache-")
    atexit.register(_remove_folder, folder, os.getpid())
    warnings.warn(
        f"nothing is kept for later processes: the cache {location} cannot be used ({why}); set MF_CACHE to a folder "
        "that can be written",
        stacklevel=4,
    )
    return Path(folder)


def _unwritable(path: Path) -> str | None:
    """Return why nothing can be written into a folder, which need not exist; None: it can be."""
    if path.is_dir():
        return None if os.access(path, os.W_OK | os.X_OK) else "it cannot be written"
    try:
        os.rmdir(tempfile.mkdtemp(dir=next(parent for parent in path.parents if parent.exists())))
    except OSError as error:
        return describe(error)
    return None


def _remove_folder(folder: str, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it
        shutil.rmtree(folder, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verified_sha256(path: Path, expected: str) -> str:
    """Return a file's SHA-256, without reading it when a note says it was ``expected`` and the file has not changed."""
    note, state = _note_of(path)
    with suppress(OSError, ValueError):
        if note.read_text() == f"{state} {expected}":
            return expected
    actual = sha256_of(path)
    if actual == expected:
        write_note(path, actual)
    return actual


def write_note(path: Path, digest: str) -> None:
    """Note a file's SHA-256, for as long as its size and time of change stay.

    A cache that cannot be written is no error: the file is then read again next time.
    """
    note, state = _note_of(path)
    fresh = note.with_name(f"{note.name}.{uuid.uuid4().hex[:8]}")
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(f"{state} {digest}")
        fresh.replace(note)


def _note_of(path: Path) -> tuple[Path, str]:
    """Return where the note on a file is, and what it must say of the file's state."""
    real = os.path.realpath(path)
    stat = os.stat(real)
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:32]
    return cache_dir() / "verified" / name, f"{stat.st_size} {stat.st_mtime_ns}"


def remove(path: Path, within: Path) -> bool:
    """Remove a file and every link on the way to it; return whether it is gone.

    Args:
        path: In ``within``.
        within: A cache. A link out of it is removed, and what it leads to is not: that is a user's own file.
    """
    step, root = path, Path(os.path.realpath(within))
    while True:
        target = step.parent / os.readlink(step) if step.is_symlink() else None
        with suppress(FileNotFoundError):
            try:
                step.unlink()
            except OSError:
                return False
        if target is None or not _is_inside(target, root):
            return True
        step = target


def _is_inside(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path.parent)).is_relative_to(root)
