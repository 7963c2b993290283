"""Opening what a user gave as a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..boundary import public
from ..errors import ArgumentError, DataError
from .files.array_files import ArrayFiles
from .files.delimited_files import CommaSeparated, TabSeparated
from .files.find import are_paths, find_files
from .files.indexed_files import IndexedFiles
from .files.text_files import Documents, JsonLines
from .item_source import ItemSource
from .record_source import RecordParser, RecordSource
from .records import Records, RecordStream

_TEXT: dict[str, type[IndexedFiles]] = {
    "jsonl": JsonLines, "txt": Documents, "csv": CommaSeparated, "tsv": TabSeparated,
}  # fmt: skip


@public
def open_records(
    dataset: Any,
    *,
    name: str = "train_dataset",
    on_bad_record: Literal["error", "skip"] = "error",
    fields: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Records | RecordStream:
    """Return the records of a dataset. Text is not read yet.

    Args:
        dataset: One of:

            * a path, or a list of paths, of files or folders. Of a folder and its sub-folders all data files are read,
              in the order of their names; they must be of one kind. A warning counts and names the other files; hidden
              files and folders are not read. ``.jsonl``: a line is ``{"text": …}``, ``{"prompt": …, "completion": …}``
              or ``{"input_ids": …}``; ``.csv`` and ``.tsv``: the first line names the columns, and values are strings;
              ``.txt``: documents with blank lines between them; ``.gz`` of all these; MindRecord (one shard stands for
              all) and TFRecord: a column ``input_ids``, and ``loss_mask`` and ``segment_ids`` if they have them;
              ``.npy``: ``(rows, ids)``. Suffixes may be upper-case;
            * an object with ``__len__`` and ``__getitem__``, such as a list: its items are texts, rows of ids, or dicts
              with the keys above, and are read on access;
            * any other iterable: a stream.
        name: The dataset's name in messages, if it is not a file.
        on_bad_record: ``"error"`` raises DataError for a bad record; ``"skip"`` leaves it out, counts it, and warns.
        fields: The fields of a labelled record, such as ``("text", "label")``: a record that lacks one is bad, and
            records have these fields and those of ``optional``. None: the keys above.
        optional: Further fields, which are read where a record has them.

    Returns:
        Records with a length, or a stream. Columns that are not read are named in one warning.

    Raises:
        ArgumentError: ``on_bad_record`` is neither.
        DataError: It is not a dataset; a folder or list has no data files, several kinds of them, or, in a list, a file
            of no known kind.
        FileMissingError: There is no such file.
    """
    if on_bad_record not in ("error", "skip"):
        raise ArgumentError(f"on_bad_record={on_bad_record!r} is neither 'error' nor 'skip'", value=on_bad_record)
    skip = on_bad_record == "skip"
    if isinstance(dataset, (str, Path)):
        return Records(_open_files([dataset], fields, optional), skip=skip)
    if are_paths(dataset):
        return Records(_open_files(dataset, fields, optional), skip=skip)
    if callable(dataset) and not hasattr(dataset, "__getitem__") and not hasattr(dataset, "__iter__"):
        raise DataError(f"{name} is a function, which is not called", value=dataset, hint="give what it returns")
    if isinstance(dataset, (Mapping, bytes, bytearray)):
        raise DataError(
            f"{name} is a {type(dataset).__name__}, not a dataset", value=type(dataset),
            hint="give a path, or a list of texts, rows of ids, or dicts",
        )  # fmt: skip
    parser = RecordParser(name, fields, optional)
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not _is_iterable_only(dataset):
        items = ItemSource(dataset, parser)
        if len(items) == 0:
            raise DataError(f"{name} is empty", value=dataset)
        return Records(items, skip=skip)
    if not isinstance(dataset, Iterable):
        raise DataError(
            f"{name} is a {type(dataset).__name__}, which has neither items nor an iterator", value=dataset,
            hint="give a path, a list, an object with __len__ and __getitem__, or an iterable",
        )  # fmt: skip
    return RecordStream(dataset, parser, skip=skip)


def _is_iterable_only(dataset: Any) -> bool:
    """Whether a dataset can be iterated over and inherits a ``__getitem__`` without items, as torch's can."""
    if isinstance(dataset, Sequence) or not hasattr(dataset, "__iter__"):
        return False
    try:
        dataset[0]
    except NotImplementedError:
        return True
    except Exception:  # what it is, is found where records are read
        return False
    return False


def _open_files(given: Sequence[Any], fields: Sequence[str], optional: Sequence[str]) -> RecordSource:
    kind, paths = find_files(given)
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    parser = RecordParser(name, fields, optional)
    if kind in _TEXT:
        return _TEXT[kind](paths, parser)
    if fields:
        raise DataError(
            f"{name} holds ids, and the task needs the fields {', '.join(map(repr, fields))}", value=kind,
            hint="give .jsonl, .csv or .tsv files",
        )  # fmt: skip
    return ArrayFiles(paths, kind, parser)
