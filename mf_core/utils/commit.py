"""Replacing several files of a folder in one step: after a crash at any moment, all of them are old or all are new.

New files are written into a hidden staging folder and synced. Then a journal, which names them, is renamed into the
folder: from that instant the step counts as done. The files are moved where they belong, and the journal is removed. A
reader or writer that finds a journal finishes the moves first. Meanwhile the folder has no ``config.json``, so
that a program which knows nothing of journals reports a missing file rather than mix old and new ones.

A journal may come with a folder from elsewhere. So it only names files in its own folder, and what it removes, or moves
out of the way of new files, has a name that checkpoints use; any other journal is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import CheckpointError, IntegrityError, describe
from .files import ADAPTER_FILE, ADAPTER_WEIGHTS_FILE, CONFIG_FILE, read_json, sync
from .locks import exclusive
from .paths import user_path

JOURNAL = ".mf-commit.json"

_STAGING = re.compile(r"\.mf-save-[0-9a-f]{16}\Z")
#: Within a staging folder: the lock of its writer, and what has been taken out of the folder.
_LOCK, _REMOVED = ".lock", ".removed"
#: Removed first and put last: without one of these, no one takes a folder for a model.
_KEYS = (CONFIG_FILE, ADAPTER_FILE)
#: Patterns of files that a step may remove.
_REMOVABLE_FILES = (
    CONFIG_FILE, ADAPTER_FILE, ADAPTER_WEIGHTS_FILE, "model.safetensors", "model-*-of-*.safetensors",
    "optimizer.safetensors", "*.safetensors.index.json", "layout.json", "trainer_state.json", "generation_config.json",
    "*preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "vocab.json", "vocab.txt", "merges.txt",
    "*.model",
)  # fmt: skip
#: Names of folders that a step may remove or replace.
_REMOVABLE_FOLDERS = re.compile(r"(checkpoint-(0|[1-9]\d{0,14})|shards|strategy|additional_chat_templates)\Z")
#: Seconds after which a staging folder without a lock file is taken for abandoned.
_YOUNG = 60.0
_JOURNAL_LIMIT = 16 << 20

#: The staging folders of this process -> patterns of what their steps remove.
_staged: dict[Path, list[str]] = {}


@contextmanager
def replace_files(folder: str | Path, stale: Iterable[str] = (), key: str | None = None) -> Iterator[Path]:
    """Yield a staging folder; after the block, what it holds replaces what ``folder`` has by the same names.

    Either all of it does or, where the block raises or the process ends, none of it. Other files in ``folder`` stay. A
    block within the block of another, whose staging folder is its ``folder``, is part of that one's step.

    Args:
        folder: Made if need be.
        stale: Shell patterns of names in ``folder`` that are removed in the same step unless the block writes them.
            Only names that checkpoints use are removed, whatever the patterns match.
        key: Names the step to other processes that write into :func:`shared_staging` of it; None: there are none.

    Raises:
        CheckpointError: An earlier step was interrupted and cannot be finished, or a folder has the name of a new file.
        OSError: The files cannot be written; ``folder`` is as it was.
    """
    target = Path(os.path.realpath(user_path(folder)))
    if target in _staged:
        _staged[target].extend(stale)
        yield target
        return
    made = [path for path in (target, *target.parents) if not path.exists()]
    target.mkdir(parents=True, exist_ok=True)
    staging = shared_staging(target, uuid.uuid4().hex if key is None else key)
    recover(target, keep=staging)
    try:
        staging.mkdir(exist_ok=key is not None)
        with _writing(staging, list(stale)) as patterns:
            yield staging
            _sync_tree(staging)
            _commit(target, staging, patterns)
    except BaseException:
        if not (target / JOURNAL).exists():  # else the step counts as done, and the next reader finishes it
            _discard(staging)
            _remove_empty(made)
        raise


@contextmanager
def replace_folder(folder: Path, remove: Iterable[str] = (), key: str | None = None) -> Iterator[Path]:
    """Yield a new folder; after the block it replaces ``folder`` as a whole, as :func:`replace_files` does with files.

    Args:
        folder: Its name is one that checkpoints use.
        remove: Names beside ``folder`` that are removed in the same step.
        key: As for :func:`replace_files`; other processes write into the folder of the same name in the staging folder.
    """
    with replace_files(folder.parent, remove, key) as staging:
        fresh = staging / folder.name
        fresh.mkdir(exist_ok=key is not None)
        _staged[fresh] = []  # blocks within this one are part of its step
        try:
            yield fresh
        finally:
            del _staged[fresh]


def shared_staging(folder: Path, key: str) -> Path:
    """Return the staging folder of a step that several processes write together."""
    return folder / f".mf-save-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def recover(folder: Path, keep: Path | None = None, *, exclusive: bool = False) -> None:
    """Finish a step that was interrupted, and remove the staging folders of processes that have ended.

    Args:
        folder: Where the steps were made; it need not exist.
        keep: A staging folder that other processes may be writing into already.
        exclusive: Whether no other process begins a step meanwhile. Else a new folder without a lock file, which its
            writer may be about to make, is kept for a minute.
    """
    if folder.is_dir():
        finish(folder)
        _remove_abandoned(folder, keep, 0 if exclusive else _YOUNG)


def is_staging(name: str) -> bool:
    """Return whether a name is that of a staging folder, such as one that a killed process has left."""
    return _STAGING.match(name) is not None


def finish(folder: str | Path) -> None:
    """Finish a step that was interrupted after it counted as done; without one, do nothing.

    A folder that is not there may be one that an interrupted step in its parent was about to replace.

    Raises:
        CheckpointError: The folder cannot be written to, or the step's files are gone.
        IntegrityError: The journal is damaged.
    """
    target = user_path(folder)
    if not os.path.lexists(target) and _REMOVABLE_FOLDERS.match(target.name):
        target = target.parent
    if not os.path.lexists(target / JOURNAL):
        return
    try:
        with exclusive(target):
            _finish(target)
    except (CheckpointError, IntegrityError):
        raise
    except OSError as error:
        raise CheckpointError(
            f"a save into {str(target)!r} was interrupted, and cannot be finished", value=str(target),
            why=describe(error), hint="make the folder writable, or save into it again",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class _Journal:
    """What a step does: names of files to put into the folder, of those to remove, and where the new ones are."""

    staging: str
    put: tuple[str, ...]
    remove: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> _Journal:
        data = read_json(path, _JOURNAL_LIMIT)
        try:
            found = cls(data["staging"], tuple(data["put"]), tuple(data["remove"]))
            names = (found.staging, *found.put, *found.remove)
            if not all(isinstance(name, str) and _is_plain(name) for name in names):
                raise ValueError("a name in it is no name of a file in the folder")
            if not _STAGING.match(found.staging):
                raise ValueError(f"{found.staging!r} is no staging folder")
            foreign = next((name for name in found.remove if not _is_removable(name)), None)
            if foreign is not None:
                raise ValueError(f"it would remove {foreign!r}, which no save removes")
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} is damaged", value=str(path), why=describe(error),
                hint="remove it, and save or copy the folder again",
            ) from error  # fmt: skip
        return found

    def write(self, path: Path) -> None:
        data = {"staging": self.staging, "put": list(self.put), "remove": list(self.remove)}
        path.write_text(json.dumps(data), encoding="utf-8")
        sync(path)


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..", JOURNAL) and not set(name) & {"/", "\\", "\0"}


def _is_removable(name: str) -> bool:
    return bool(_REMOVABLE_FOLDERS.match(name)) or any(fnmatchcase(name, pattern) for pattern in _REMOVABLE_FILES)


def _is_foreign_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not _REMOVABLE_FOLDERS.match(path.name)


def _check_folders(target: Path, names: Iterable[str]) -> None:
    """Raise CheckpointError where a folder that no step removes has one of the names."""
    for name in names:
        if _is_foreign_folder(target / name):
            raise CheckpointError(
                f"a folder named {name!r} in {str(target)!r} is in the way of the save", value=str(target / name),
                hint="remove or rename it, or save into another folder",
            )  # fmt: skip


def _commit(target: Path, staging: Path, patterns: Iterable[str]) -> None:
    with exclusive(target):
        _finish(target)
        put = tuple(sorted(path.name for path in staging.iterdir() if path.name != _LOCK))
        _check_folders(target, put)
        matched = (path for path in target.iterdir() if any(fnmatchcase(path.name, pattern) for pattern in patterns))
        stale = {path.name for path in matched if _is_removable(path.name) and not _is_foreign_folder(path)}
        _Journal(staging.name, put, tuple(sorted(stale - {*put, JOURNAL}))).write(staging / JOURNAL)
        sync(staging)
        os.replace(staging / JOURNAL, target / JOURNAL)  # from here on, the step counts as done
        sync(target)
        _finish(target)


def _finish(target: Path) -> None:
    """Do what the journal of a folder says, if there is one; what has been done already is passed over."""
    if not os.path.lexists(target / JOURNAL):
        return
    journal = _Journal.read(target / JOURNAL)
    staging = target / journal.staging
    _check_folders(target, (*journal.put, *journal.remove))
    first = [name for name in _KEYS if name in journal.put and os.path.lexists(staging / name)]
    for name in (*first, *sorted(journal.remove, key=lambda name: name not in _KEYS)):
        _take_out(target / name, staging)
    for name in sorted(journal.put, key=lambda name: name in _KEYS):
        if os.path.lexists(staging / name):
            if os.path.isdir(staging / name) or os.path.isdir(target / name):
                _take_out(target / name, staging)  # a folder is not replaced by renaming
            os.replace(staging / name, target / name)
    lost = [name for name in journal.put if not os.path.lexists(target / name)]
    if lost:
        raise CheckpointError(
            f"a save into {str(target)!r} was interrupted, and its files are gone", value=lost,
            why=f"{lost[0]!r} is neither in the folder nor in {journal.staging}",
            hint=f"save into it again after removing {JOURNAL}",
        )  # fmt: skip
    sync(target)
    (target / JOURNAL).unlink()
    sync(target)
    _discard(staging)


def _take_out(path: Path, staging: Path) -> None:
    """Remove a file, or move a folder out of the way at once, to be deleted with the staging folder."""
    if path.is_dir() and not path.is_symlink():
        staging.mkdir(exist_ok=True)
        os.replace(path, staging / f"{_REMOVED}-{uuid.uuid4().hex[:8]}")
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _writing(staging: Path, patterns: list[str]) -> Iterator[list[str]]:
    """Mark a staging folder as one that this process writes; the mark ends with the process."""
    from filelock import FileLock

    with FileLock(staging / _LOCK):
        _staged[staging] = patterns
        try:
            yield patterns
        finally:
            del _staged[staging]


def _remove_abandoned(target: Path, keep: Path | None, young: float) -> None:
    """Remove staging folders whose writers have ended."""
    from filelock import FileLock, Timeout

    for path in target.iterdir():
        if not _STAGING.match(path.name) or path in _staged or path == keep or path.is_symlink():
            continue
        with suppress(Timeout, OSError):
            if (path / _LOCK).exists():
                with FileLock(path / _LOCK, timeout=0):
                    _discard(path)
            elif time.time() - path.stat().st_mtime > young:
                _discard(path)


def _discard(staging: Path) -> None:
    """Remove a staging folder, its lock file last: a folder without one is kept for a while."""
    with suppress(OSError):
        for path in staging.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
    shutil.rmtree(staging, ignore_errors=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in folders:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _sync_tree(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            if name != _LOCK:
                sync(Path(root, name))
        sync(Path(root))
