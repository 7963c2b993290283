"""Opening what a user gave as a dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import ArgumentError, DataError, FileMissingError
from .files.array_files import Arrays
from .files.mindrecord import header_of, is_mindrecord
from .files.text_files import Texts
from .item_source import Items
from .record_source import Source
from .records import Records, RecordStream

#: The kinds of files, and how their names end.
SUFFIXES: Final = {
    "jsonl": re.compile(r"\.jsonl(\.gz)?$"),
    "txt": re.compile(r"\.txt(\.gz)?$"),
    "mindrecord": re.compile(r"\.mindrecord\d*$"),
    "tfrecord": re.compile(r"\.tfrecords?(-\d+-of-\d+)?$"),
    "npy": re.compile(r"\.npy$"),
}
_FORMS: Final = "a data file is .jsonl, .txt (both also with .gz), MindRecord, .tfrecord or .npy"


def open_records(
    dataset: Any, *, name: str = "train_dataset", on_bad_record: Literal["error", "skip"] = "error"
) -> Records | RecordStream:
    """Return the records of a dataset. Text is not read yet.

    Args:
        dataset: One of:

            * a path, or a list of paths, to files or folders; of a folder all data files are taken, in the order of
              their names, and they must be of one kind. ``.jsonl``: a line is ``{"text": …}``, or ``{"prompt": …,
              "completion": …}``, or ``{"input_ids": …}``; ``.txt``: documents with blank lines between them; ``.gz`` of
              both; MindRecord (one shard stands for all) and TFRecord: a column ``input_ids``, and ``loss_mask`` and
              ``segment_ids`` if they are there; ``.npy``: ``(rows, ids)``;
            * an object with ``__len__`` and ``__getitem__``, such as a list: its items are texts, rows of ids, or dicts
              with the keys above, and are asked for one at a time;
            * any other iterable: a stream.
        name: What messages call a dataset that is no file.
        on_bad_record: ``"error"`` raises DataError for a bad record; ``"skip"`` leaves it out, counts it, and warns.

    Raises:
        ArgumentError: ``on_bad_record`` is neither.
        DataError: It is no dataset, or a folder or list has no data files or several kinds.
        FileMissingError: There is no such file.
    """
    if on_bad_record not in ("error", "skip"):
        raise ArgumentError(f"on_bad_record={on_bad_record!r} is neither 'error' nor 'skip'", value=on_bad_record)
    skip = on_bad_record == "skip"
    if isinstance(dataset, (str, Path)):
        return Records(_open_files([Path(dataset)]), skip=skip)
    if _are_paths(dataset):
        return Records(_open_files([Path(path) for path in dataset]), skip=skip)
    if callable(dataset) and not hasattr(dataset, "__getitem__") and not hasattr(dataset, "__iter__"):
        raise DataError(f"{name} is a function, which is not called", value=dataset, hint="give what it returns")
    if isinstance(dataset, (Mapping, bytes, bytearray)):
        raise DataError(
            f"{name} is a {type(dataset).__name__}, not a dataset", value=type(dataset),
            hint="give a path, or a list of texts, rows of ids, or dicts",
        )
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        items = Items(dataset, name)
        if len(items) == 0:
            raise DataError(f"{name} is empty", value=dataset)
        return Records(items, skip=skip)
    if not isinstance(dataset, Iterable):
        raise DataError(
            f"{name} is a {type(dataset).__name__}, which has neither items nor an iterator", value=dataset,
            hint="give a path, a list, an object with __len__ and __getitem__, or an iterable",
        )
    return RecordStream(dataset, name, skip=skip)


def kind_of_file(path: Path) -> str | None:
    """Return the kind of a data file, by its name, or for MindRecord by how it begins; None for another."""
    for kind, pattern in SUFFIXES.items():
        if pattern.search(path.name):
            return kind
    return "mindrecord" if path.suffix != ".db" and is_mindrecord(path) else None


def _are_paths(dataset: Any) -> bool:
    """Return whether a list is one of paths: all of them Paths, or strings that end as data files do."""
    if not isinstance(dataset, (list, tuple)) or not dataset:
        return False
    ends = tuple(SUFFIXES.values())
    return all(
        isinstance(item, Path)
        or (isinstance(item, str) and "\n" not in item and any(pattern.search(item) for pattern in ends))
        for item in dataset
    )


def _open_files(given: Sequence[Path]) -> Source:
    files = [found for path in given for found in _files_of(path, alone=len(given) == 1)]
    kinds: dict[str, Path] = {}
    for kind, path in files:
        kinds.setdefault(kind, path)
    if len(kinds) > 1:
        named = ", ".join(f"{kind} ({path.name})" for kind, path in sorted(kinds.items()))
        raise DataError(
            f"{', '.join(str(path) for path in given[:3])} holds data files of {len(kinds)} kinds: {named}",
            value=sorted(kinds), hint="give the files of one kind",
        )
    (kind,) = kinds
    paths = [path for _, path in files]
    return Texts(paths, lines=kind == "jsonl") if kind in ("jsonl", "txt") else Arrays(paths, kind)


def _files_of(path: Path, *, alone: bool) -> list[tuple[str, Path]]:
    """Return kind and path of each data file that a path stands for."""
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        found = [(kind, file) for file in inside if (kind := kind_of_file(file))]
        if not found:
            names = ", ".join(file.name for file in inside[:8])
            raise DataError(
                f"{path} holds no data files", value=str(path), why=f"it holds {names or 'no files'}", hint=_FORMS
            )
        return found
    if not path.is_file():
        shards = sorted(path.parent.glob(f"{path.name}[0-9]*[0-9]")) + sorted(path.parent.glob(f"{path.name}[0-9]"))
        raise FileMissingError(
            f"there is no file {str(path)!r}", value=str(path),
            hint=f"{shards[0].name!r} is a shard of it: give that, and it stands for all" if shards else None,
        )
    kind = kind_of_file(path)
    if kind is None:
        raise DataError(
            f"{path} is neither .jsonl nor .txt, nor a file of another known kind", value=str(path), hint=_FORMS
        )
    if kind != "mindrecord" or not alone:
        return [(kind, path)]
    shards = [path.with_name(shard) for shard in header_of(path)["shard_addresses"]]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise FileMissingError(
            f"{path} is a shard of {len(shards)}, and {', '.join(missing[:3])} is not there", value=missing,
            hint="copy it here, or give a list of the shards to be read",
        )
    return [(kind, shard) for shard in shards]
