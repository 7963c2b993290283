"""The data files that paths name."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import ArgumentError, DataError, FileMissingError
from ...utils.paths import user_path
from .mindrecord import header_of, is_mindrecord

#: The kinds of files, and how their names end, in either case.
SUFFIXES: Final = {
    "jsonl": re.compile(r"\.jsonl(\.gz)?$", re.IGNORECASE),
    "txt": re.compile(r"\.txt(\.gz)?$", re.IGNORECASE),
    "csv": re.compile(r"\.csv(\.gz)?$", re.IGNORECASE),
    "tsv": re.compile(r"\.tsv(\.gz)?$", re.IGNORECASE),
    "mindrecord": re.compile(r"\.mindrecord\d*$", re.IGNORECASE),
    "tfrecord": re.compile(r"\.tfrecords?(-\d+-of-\d+)?$", re.IGNORECASE),
    "npy": re.compile(r"\.npy$", re.IGNORECASE),
}
_FORMS: Final = "a data file is .jsonl, .csv, .tsv, .txt (all also with .gz), MindRecord, .tfrecord or .npy"

#: Strings of a list that are tried as paths.
_TRIED: Final = 100
#: A name in which a folder or a suffix can be seen.
_LIKE_A_PATH: Final = re.compile(r"[^\s].*[/\\]|.\.\w{1,12}$")


def kind_of_file(path: Path) -> str | None:
    """Return the kind of a data file by its name, or of MindRecord by its first bytes; None for another file."""
    kind = _kind_of_name(path.name)
    return kind or ("mindrecord" if path.suffix != ".db" and is_mindrecord(path) else None)


def are_paths(dataset: Any) -> bool:
    """Return whether a list is one of paths rather than of texts.

    It is if an item is a Path, if a string ends as data files do and contains no blanks, or if the first strings name
    files and folders that exist: all of them, or one that looks like a path.
    """
    if not isinstance(dataset, (list, tuple)) or not dataset:
        return False
    if any(isinstance(item, Path) for item in dataset):
        return True
    if not all(isinstance(item, str) for item in dataset):
        return False
    if any(_kind_of_name(item[-64:]) and not re.search(r"\s", item) for item in dataset if len(item) < 4096):
        return True
    existing = [item for item in dataset[:_TRIED] if len(item) < 4096 and "\0" not in item and _exists(item)]
    return len(existing) == len(dataset) or any(_LIKE_A_PATH.search(item) for item in existing)


def find_files(given: Sequence[Any]) -> tuple[str, list[Path]]:
    """Return the kind, and the paths, of the data files that paths of files and folders name.

    Raises:
        DataError: There are none, an item is not a path, or they are of several kinds; a file is of no known kind.
        FileMissingError: There is no such file.
    """
    wrong = [item for item in given if not isinstance(item, (str, Path))]
    if wrong:
        raise DataError(f"{wrong[0]!r:.80} stands in a list of paths, and is not one", value=wrong[0])
    files = [found for path in given for found in _files_of(user_path(path), alone=len(given) == 1)]
    kinds: dict[str, Path] = {}
    for kind, path in files:
        kinds.setdefault(kind, path)
    if len(kinds) > 1:
        named = ", ".join(f"{kind} ({path.name})" for kind, path in sorted(kinds.items()))
        raise DataError(
            f"{', '.join(str(path) for path in given[:3])} holds data files of {len(kinds)} kinds: {named}",
            value=sorted(kinds), hint="give the files of one kind",
        )  # fmt: skip
    (kind,) = kinds
    return kind, [path for _, path in files]


def _kind_of_name(name: str) -> str | None:
    return next((kind for kind, pattern in SUFFIXES.items() if pattern.search(name)), None)


def _exists(name: str) -> bool:
    try:
        return bool(name.strip()) and user_path(name).exists()
    except (OSError, ArgumentError):
        return False


def _files_of(path: Path, *, alone: bool) -> list[tuple[str, Path]]:
    """Return kind and path of each data file that a path names."""
    if path.is_dir():
        return _files_in(path)
    if not path.is_file():
        shards = sorted(path.parent.glob(f"{path.name}[0-9]*[0-9]")) + sorted(path.parent.glob(f"{path.name}[0-9]"))
        raise FileMissingError(
            f"there is no file {str(path)!r}", value=str(path),
            hint=f"{shards[0].name!r} is a shard of it: give that, and it stands for all" if shards else None,
        )  # fmt: skip
    kind = kind_of_file(path)
    if kind is None:
        raise DataError(f"{path} is not a data file of a known kind", value=str(path), hint=_FORMS)
    if kind != "mindrecord" or not alone:
        return [(kind, path)]
    shards = [path.with_name(shard) for shard in header_of(path)["shard_addresses"]]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise FileMissingError(
            f"{path} is a shard of {len(shards)}, and {', '.join(missing[:3])} is not there", value=missing,
            hint="copy it here, or give a list of the shards to be read",
        )  # fmt: skip
    return [(kind, shard) for shard in shards]


def _files_in(folder: Path) -> list[tuple[str, Path]]:
    """Return the data files of a folder and its sub-folders, with a warning about files that are not read."""
    found, unread = [], []
    for file in _walk(folder):
        inside = file.relative_to(folder)
        hidden = file.name.startswith(".")
        kind = None if hidden else kind_of_file(file)
        if kind is not None:
            found.append((kind, file))
        elif not _is_expected(file, hidden):
            unread.append(str(inside))
    names = ", ".join(unread[:8]) + (", …" if len(unread) > 8 else "")
    if not found:
        raise DataError(
            f"{folder} holds no data files", value=str(folder), why=f"it holds {names or 'no files'}", hint=_FORMS
        )  # fmt: skip
    if unread:
        what = "1 file is" if len(unread) == 1 else f"{len(unread)} files are"
        warnings.warn(f"{folder}: {what} not read: {names}; {_FORMS}", stacklevel=2)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder by name, then those of its sub-folders.

    Hidden sub-folders are left out, and links to a folder that has been seen are not followed.
    """
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(parent))
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if os.path.realpath(os.path.join(parent, name)) not in seen]
        yield from (path for name in sorted(files) if (path := Path(parent, name)).is_file())


def _is_expected(file: Path, hidden: bool) -> bool:
    """Return whether a file is not data by convention: hidden without a data suffix, or the index of a MindRecord."""
    if hidden:
        return _kind_of_name(file.name) is None
    return file.suffix == ".db" and file.with_suffix("").is_file()
