"""MindRecord files: what their headers say, and writing rows as MindFormers' scripts do."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.base import import_mindspore
from ...boundary import public
from ...errors import ArgumentError, DataError, FileMissingError, describe
from ...utils.paths import user_path
from ..record_source import COLUMNS

_ROWS = 1000


def header_of(path: Path) -> dict[str, Any]:
    """Return the header of a MindRecord file.

    Raises:
        DataError: It is no such file, or one that has been renamed.
        FileMissingError: Its index (``.db``) is missing.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size)) if size < 1 << 28 else {}
        names, schemas = header["shard_addresses"], header["schema"]
        if not schemas or not isinstance(schemas[0]["schema"], dict):
            raise ValueError("the header has no schema")
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(
            f"{path} is not a MindRecord file, or is truncated or corrupt", value=str(path), why=describe(error)
        ) from error
    index = path.with_name(f"{path.name}.db")
    if not index.is_file():
        raise FileMissingError(
            f"{path} lacks its index {index.name!r}", value=str(index),
            hint="a MindRecord is two files: keep them together",
        )
    if path.name not in names:
        raise DataError(
            f"{path} has been renamed, and MindSpore does not read a renamed MindRecord", value=str(path),
            hint=f"give it its name back: one of {', '.join(names[:8])}, and its index the same with .db",
        )
    return header


def is_mindrecord(path: Path) -> bool:
    """Return whether a file begins as a MindRecord does."""
    with path.open("rb") as file:
        begin = file.read(64)
    return begin[8:].startswith(b'{"') and b"header_size" in begin


@public
def write_mindrecord(
    path: str | Path,
    rows: Iterable[Mapping[str, np.ndarray]],
    *,
    overwrite: bool = False,
    description: str = "rows of ids",
) -> int:
    """Write rows to a MindRecord file and its index, ``path`` with ``.db`` added, and return how many there were.

    All columns are written as int32 of any length. The files appear when they are complete; with ``overwrite``, the
    former ones stay until then.

    Args:
        path: The file. MindSpore does not read it under another name.
        rows: Dicts of one-dimensional whole numbers: ``input_ids``, and ``loss_mask`` and ``segment_ids`` if they have
            them, all of them or none.
        overwrite: Replace files that are there.
        description: What the file's schema says of itself.

    Raises:
        ArgumentError: There is such a file already.
        FileMissingError: The folder that it is to be in does not exist.
        DataError: There are no rows, or they have not one and the same columns.
    """
    target = user_path(path)
    check_target(target, overwrite)
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        raise DataError("there are no rows to write", value=str(target))
    names = [name for name in COLUMNS if name in first]
    if "input_ids" not in names:
        raise DataError(f"row 0 has no input_ids; it has: {', '.join(first)}", value=list(first))
    import_mindspore()
    from mindspore.mindrecord import FileWriter

    # The file's own name is in its header, so that it is written under that name, in a folder beside its place.
    folder = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    try:
        writer = FileWriter(str(folder / target.name), shard_num=1)
        writer.add_schema({name: {"type": "int32", "shape": [-1]} for name in names}, description)
        everything, count = itertools.chain([first], iterator), 0
        while chunk := list(itertools.islice(everything, _ROWS)):
            writer.write_raw_data([_plain(row, names, count + i) for i, row in enumerate(chunk)])
            count += len(chunk)
        writer.commit()
        _move_into_place(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def check_target(target: Path, overwrite: bool) -> None:
    """Raise ArgumentError where a file is in the way, FileMissingError where its folder is not there."""
    there = [str(path) for path in (target, target.with_name(f"{target.name}.db")) if path.exists()]
    if there and not overwrite:
        raise ArgumentError(f"{there[0]} exists", value=there, hint="pass overwrite=True to replace it")
    if not target.parent.is_dir():
        raise FileMissingError(f"there is no folder {str(target.parent)!r}", value=str(target.parent))


def _plain(row: Mapping[str, np.ndarray], names: list[str], number: int) -> dict[str, np.ndarray]:
    columns = {name: np.asarray(row[name]) for name in COLUMNS if name in row}
    if list(columns) != names:
        raise DataError(f"row {number} has {', '.join(columns)}, and row 0 has {', '.join(names)}", value=number)
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "iub":
            raise DataError(f"row {number}: {name} is {column.dtype}{list(column.shape)}, not whole numbers", value=row)
    return {name: column.astype(np.int32) for name, column in columns.items()}


def _move_into_place(folder: Path, target: Path) -> None:
    """Move file and index to the target; the file is moved last and removed first, so that its index is there."""
    umask = os.umask(0)
    os.umask(umask)
    for name in (target.name, f"{target.name}.db"):
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        (folder / name).chmod(0o666 & ~umask)
    target.unlink(missing_ok=True)
    (folder / f"{target.name}.db").replace(target.with_name(f"{target.name}.db"))
    (folder / target.name).replace(target)
