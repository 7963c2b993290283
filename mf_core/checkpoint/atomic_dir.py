"""Folders of checkpoints: made aside and put in place at once, and what goes with a checkpoint into another form."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArgumentError
from ..utils.files import CONFIG_FILE
from .sharded import LAYOUT_FILE, SHARDS

#: Files that hold tensors, of ours and of others, and the indexes of such: they are not copied.
_TENSORS = re.compile(r".*\.(safetensors|bin|pt|pth|pkl|ckpt|npz|h5|msgpack|onnx|gguf)(\.index\.json)?\Z")


@contextmanager
def new_folder(target: Path, source: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder beside ``target`` that takes its place after the block, or is removed where the block fails.

    Args:
        target: Not there, or an empty folder.
        source: The checkpoint that is read, which ``target`` must not be.
        overwrite: ``target`` may also hold a checkpoint, which is replaced.

    Raises:
        ArgumentError: ``target`` is something else.
    """
    _check(target, source, overwrite)
    place = Path(os.path.realpath(target))  # where a link leads, so that the link stays
    made = [path for path in place.parents if not path.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{place.name}.ckpt-", dir=place.parent))
    try:
        aside, old = holder / "new", holder / "old"
        aside.mkdir()  # with the user's own permissions, which a temporary folder has not
        yield aside
        if place.exists():
            place.rename(old)
        try:
            aside.rename(place)
        except BaseException:
            if old.exists():
                old.rename(place)
            raise
    except BaseException:
        shutil.rmtree(holder, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise
    shutil.rmtree(holder, ignore_errors=True)


def copy_rest(source: Path, target: Path) -> None:
    """Copy what a checkpoint has beside its tensors: configuration, state of the run, tokenizer."""
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
    there = sorted(path.name for path in target.iterdir())
    if not there:
        return
    if not overwrite:
        raise ArgumentError(
            f"{str(target)!r} has a {there[0]!r} already", value=str(target),
            hint="name another folder, or replace the checkpoint with --overwrite (overwrite=True)",
        )  # fmt: skip
    folders = [name for name in there if (target / name).is_dir() and name != SHARDS]
    if folders or CONFIG_FILE not in there:
        raise ArgumentError(
            f"{str(target)!r} is not replaced: it holds more than a checkpoint", value=str(target),
            why=f"there is a folder {folders[0]!r} in it" if folders else f"it has no {CONFIG_FILE}",
            hint="name another folder",
        )  # fmt: skip
