"""The library's own cache, and the SHA-256 of files, read once as long as they do not change."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20


def cache_dir() -> Path:
    """Return the cache: ``$MF_CACHE``, else ``$XDG_CACHE_HOME/mf``, else ``~/.cache/mf``. It is not created here."""
    chosen = os.environ.get("MF_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mf")
    return Path(os.path.abspath(os.path.expanduser(chosen)))


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


def remove(path: Path) -> bool:
    """Remove a file and every link on the way to it; return whether it is gone."""
    step = path
    while True:
        target = step.parent / os.readlink(step) if step.is_symlink() else None
        with suppress(FileNotFoundError):
            try:
                step.unlink()
            except OSError:
                return False
        if target is None:
            return True
        step = target
