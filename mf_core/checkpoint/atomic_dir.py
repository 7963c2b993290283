"""Atomic replacement of a checkpoint's folder, and copies of the files beside its tensors."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArgumentError
from ..utils.commit import finish, is_staging, replace_files
from ..utils.files import CONFIG_FILE
from .sharded import LAYOUT_FILE, SHARDS

#: Files of tensors, the library's and others', and their indexes: they are not copied.
_TENSORS = re.compile(r".*\.(safetensors|bin|pt|pth|pkl|ckpt|npz|h5|msgpack|onnx|gguf)(\.index\.json)?\Z")


@contextmanager
def new_folder(target: Path, source: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder whose contents atomically replace the checkpoint in ``target`` after the block.

    Where the block fails, ``target`` is as it was. Files in it that are not of a checkpoint's names stay.

    Args:
        target: Not there, or an empty folder.
        source: The checkpoint that is read, which ``target`` must not be.
        overwrite: ``target`` may also hold a checkpoint, which is replaced.

    Raises:
        ArgumentError: ``target`` is something else.
    """
    _check(target, source, overwrite)
    with replace_files(target, ["*"]) as staging:
        yield staging


def copy_rest(source: Path, target: Path) -> None:
    """Copy a checkpoint's other files: configuration, run state, tokenizer."""
    for path in sorted(source.iterdir()):
        left = path.name.startswith(".") or path.name == LAYOUT_FILE or _TENSORS.match(path.name)
        if path.is_file() and not left:
            shutil.copyfile(path, target / path.name)


def _check(target: Path, source: Path, overwrite: bool) -> None:
    if os.path.realpath(target) == os.path.realpath(source):
        raise ArgumentError(f"{str(target)!r} is the checkpoint itself", value=str(target), hint="name another folder")
    if not target.exists():
        return
    if not target.is_dir():
        raise ArgumentError(f"{str(target)!r} is a file", value=str(target), hint="name a folder")
    finish(target)
    there = sorted(path.name for path in target.iterdir() if not is_staging(path.name))
    if not there:
        return
    if not overwrite:
        raise ArgumentError(
            f"{str(target)!r} has a {there[0]!r} already", value=str(target),
            hint="name another folder, or replace the checkpoint with overwrite=True",
        )  # fmt: skip
    folders = [name for name in there if (target / name).is_dir() and name != SHARDS]
    if folders or CONFIG_FILE not in there:
        raise ArgumentError(
            f"{str(target)!r} is not replaced: it holds more than a checkpoint", value=str(target),
            why=f"there is a folder {folders[0]!r} in it" if folders else f"it has no {CONFIG_FILE}",
            hint="name another folder",
        )  # fmt: skip
