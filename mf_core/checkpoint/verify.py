"""Comparing the files of a checkpoint with the digests that were written with them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import IntegrityError, MFError, UnsupportedError, describe
from ..utils.commit import finish
from ..utils.files import ADAPTER_WEIGHTS_FILE, INDEX_LIMIT, read_json
from ..utils.paths import user_path
from .locate import Checkpoint
from .safetensors_reader import Header, read_header, weight_files
from .shards import DIGEST_KEY, DIGEST_OFFSET, INDEX_FILE, NO_DIGEST

_FILE = re.compile(r"[\w.-]+\.safetensors\Z")
_HINT = "copy the file again from where it was written, or use another checkpoint"


@dataclass(frozen=True)
class FileCheck:
    """The outcome for one file.

    Attributes:
        path: The file.
        status: ``"whole"``, ``"damaged"``, or ``"unknown"`` if no digest was written with it.
        why: What is wrong, where it is damaged.
    """

    path: Path
    status: Literal["whole", "damaged", "unknown"]
    why: str = ""


def check_files(folder: str | Path) -> list[FileCheck]:
    """Read every safetensors file of a folder, and of its ``shards``, and compare it with its digest.

    An index of shards is compared too: files of two saves, each of them whole, are damaged as a set.

    Raises:
        CheckpointError: A save into the folder was interrupted and cannot be finished.
    """
    root = user_path(folder)
    finish(root)
    paths = sorted([*root.glob("*.safetensors"), *root.glob("shards/*.safetensors")])
    try:
        listed = _listed(root / INDEX_FILE)
    except MFError as error:
        return [FileCheck(root / INDEX_FILE, "damaged", describe(error)), *map(check_file, paths)]
    absent = [FileCheck(root / name, "damaged", f"{INDEX_FILE} names it, and it is not there")
              for name in listed if not os.path.isfile(root / name)]  # fmt: skip
    return absent + [check_file(path, listed.get(path.name) if path.parent == root else None) for path in paths]


def check_file(path: Path, listed: str | None = None) -> FileCheck:
    """Compare a file with its own digest and, where an index has one for it, with that.

    Args:
        path: A safetensors file.
        listed: The digest that the index has.
    """
    try:
        header = read_header(path)
        own = header.metadata.get(DIGEST_KEY)
        if own is None and listed is None:
            return FileCheck(path, "unknown")
        actual = digest_of(path, header)
    except (MFError, OSError) as error:
        return FileCheck(path, "damaged", describe(error))
    if own not in (None, actual):
        return FileCheck(path, "damaged", "its bytes are not those that were written: the SHA-256 differs")
    if listed not in (None, actual):
        return FileCheck(path, "damaged", f"it is of another save than {INDEX_FILE}: the SHA-256 differs")
    return FileCheck(path, "whole")


def digest_of(path: Path, header: Header) -> str:
    """Return the SHA-256 of a file with zeros instead of the digest in its header."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = bytearray(file.read(header.length))
        own = header.metadata.get(DIGEST_KEY, "").encode()
        if own and bytes(start[DIGEST_OFFSET : DIGEST_OFFSET + len(NO_DIGEST)]) == own:
            start[DIGEST_OFFSET : DIGEST_OFFSET + len(NO_DIGEST)] = NO_DIGEST.encode()
        digest.update(start)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_whole(paths: Sequence[Path]) -> None:
    """Raise unless each file matches its digest.

    Args:
        paths: Safetensors files of one folder.

    Raises:
        IntegrityError: A file is damaged; the error names it.
        UnsupportedError: A file has no digest.
    """
    listed = _listed(paths[0].parent / INDEX_FILE) if paths else {}
    for found in (check_file(path, listed.get(path.name)) for path in paths):
        _refuse_damaged(found)
        if found.status == "unknown":
            raise UnsupportedError(
                f"{found.path} cannot be verified", value=str(found.path), why="it was written without a digest",
                hint="save it with save_pretrained, which writes one, or leave out verify=True",
            )  # fmt: skip


def refuse_damaged(folder: str | Path) -> None:
    """Raise IntegrityError, which names the file, if a checkpoint's weights or optimizer states are damaged.

    Files without a digest pass if their headers are valid.
    """
    for found in check_files(folder):
        _refuse_damaged(found)


def _refuse_damaged(found: FileCheck) -> None:
    if found.status == "damaged":
        raise IntegrityError(f"{found.path} is damaged", value=str(found.path), why=found.why, hint=_HINT)


def verify_checkpoint(checkpoint: Checkpoint) -> None:
    """Raise unless the weights of a located checkpoint, and its adapters, match their digests.

    Raises:
        IntegrityError, UnsupportedError: See :func:`require_whole`.
        FileMissingError, DownloadError: The files could not be loaded.
    """
    if checkpoint.weights is not None:
        require_whole(weight_files(checkpoint.weights))
    if checkpoint.adapter is not None:
        require_whole([checkpoint.adapter.path(ADAPTER_WEIGHTS_FILE)])


def _listed(index: Path) -> dict[str, str]:
    """Return the digests that an index has, by the names of files."""
    data: Any = read_json(index, INDEX_LIMIT) if index.is_file() else {}
    metadata = data.get("metadata") if isinstance(data, dict) else None
    digests = metadata.get(DIGEST_KEY) if isinstance(metadata, dict) else None
    if digests is None:
        return {}
    if not isinstance(digests, dict) or not all(
        _FILE.match(name) and isinstance(digest, str) for name, digest in digests.items()
    ):
        raise IntegrityError(f"{index} is damaged", value=str(index), why=f"its {DIGEST_KEY} is no mapping of digests")
    return digests
