"""Records of text into rows of ids, kept in the cache."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm.auto import tqdm

from ...boundary import public
from ...errors import ArgumentError, DataError
from ...tokenization.base import PretrainedTokenizer
from ...utils.console import in_notebook, is_terminal
from ..prepared_cache import ArrayWriter, CacheEntry, entry_of, scratch_folder
from ..record_source import COLUMNS, LazySequence
from ..records import DerivedStream, Records, RecordStream, warn_skipped
from .row_packer import Mode, Row, RowPacker, untargeted_warning
from .tokenize import documents

#: Rows that are written at a time.
_ROWS = 256


class PackedRows(LazySequence[Row]):
    """Rows in the cache, mapped into memory.

    Args:
        entry: The folder of their arrays.
    """

    def __init__(self, entry: CacheEntry) -> None:
        self._columns = {name: entry.array(name) for name in COLUMNS if entry.has(name)}
        facts = entry.facts
        #: Documents, and their ids with EOS.
        self.documents: int = facts["documents"]
        self.tokens: int = facts["tokens"]
        #: Ids that are in no row: cut off in mode "none", or of a last row that could not be filled in mode "join".
        self.left: int = facts["left"]
        #: Rows without a target, as where a prompt fills the row.
        self.untargeted: int = facts["untargeted"]
        #: The number of bad records left out.
        self.skipped: int = facts["skipped"]
        self._digest = entry.folder.name

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._columns["input_ids"])

    def item(self, index: int) -> Row:
        """Return a row; its arrays cannot be written to."""
        return {name: column[index] for name, column in self._columns.items()}

    def digest(self) -> str:
        """Return a digest of the texts, the tokenizer, the length and the mode that the rows were made with."""
        return self._digest


class PackedStream(DerivedStream[Row]):
    """The rows of a stream of texts, made as they are read. All have ``loss_mask``.

    Args:
        records: The stream.
        tokenizer: The tokenizer.
        packer: Makes a :class:`RowPacker`.
        workers: See :func:`pack`.
    """

    def __init__(
        self, records: RecordStream, tokenizer: PretrainedTokenizer, packer: Callable[[], RowPacker], workers: int
    ) -> None:
        super().__init__(records)
        self._tokenizer, self._packer, self._workers = tokenizer, packer, workers

    def __iter__(self) -> Iterator[Row]:
        """Yield each row; warn at the end about rows without targets."""
        packer = self._packer()
        yield from packer.rows(documents(self.records.walk(), self._tokenizer, self._workers))
        _warn(untargeted_warning(packer.name, packer.counts.untargeted, packer.counts.rows))


@public
def pack(
    records: Records | RecordStream,
    tokenizer: PretrainedTokenizer | None,
    length: int,
    *,
    mode: Mode = "join",
    workers: int = 0,
    name: str | None = None,
) -> PackedRows | PackedStream:
    """Return rows of ``length`` ids, made of texts.

    A document is a text without BOS, with EOS at its end. Rows of a sequence of records are kept in the cache: for the
    same texts, tokenizer, length and mode nothing is tokenised a second time.

    Args:
        records: The result of :func:`open_records`, of the kind ``"text"`` or ``"pair"``.
        tokenizer: The tokenizer.
        length: Ids of a row.
        mode: ``"join"``: documents follow one another and rows are cut anywhere; the last is padded, or left out where
            there is no pad token and another row. ``"apart"``: documents stand whole in rows where they fit; one that
            is longer than a row is cut into pieces. ``"none"``: a document a row, cut off or padded at its end.
        workers: Processes that tokenise, for tokenizers that are not parallel by themselves; 0: this process.
        name: The dataset's name in messages; None: that of the records.

    Returns:
        Dicts of arrays of shape ``(length,)``: ``input_ids`` (int32); ``loss_mask`` (uint8), if some ids of the
        dataset are not targets: 0 on prompts and padding, 1 elsewhere; ``segment_ids`` (int32) in mode "apart": 1,
        2, … for each document, or piece, of the row, 0 on padding.

    Raises:
        ArgumentError: ``length``, ``mode`` or ``workers`` is out of range.
        DataError: A record is bad, the records hold ids, or no text; no row has a target; there is no tokenizer, or
            one without the pad token that the mode needs.
    """
    if mode not in get_args(Mode):
        raise ArgumentError(f"mode={mode!r} is not one of 'join', 'apart', 'none'", value=mode)
    for what, value, least in (("length", length, 2), ("workers", workers, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ArgumentError(f"{what}={value!r} is not a whole number of at least {least}", value=value)
    if records.kind not in ("text", "pair"):
        held = "ids already" if records.kind == "ids" else "records with fields"
        raise DataError(f"{records.name} holds {held}, not text", value=records.kind)
    if tokenizer is None:
        raise DataError(f"{records.name} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
    packer = partial(RowPacker, length, tokenizer.pad_token_id, mode, name or records.name)
    packer()
    if isinstance(records, RecordStream):
        return PackedStream(records, tokenizer, packer, workers)
    made = False

    def fill(folder: Path) -> dict[str, Any]:
        nonlocal made
        made = True
        return _write(records, tokenizer, packer(), workers, folder)

    key = f"rows {records.digest()} {fingerprint(tokenizer)} {length} {mode}"
    entry = entry_of(key, fill)
    if not made:
        records.skipped = entry.facts["skipped"]
        warn_skipped(records.name, records.skipped, entry.facts["first_skipped"])
    packed = PackedRows(entry)
    _warn(untargeted_warning(name or records.name, packed.untargeted, len(packed)))
    return packed


def _warn(message: str) -> None:
    if message:
        warnings.warn(message, stacklevel=3)


def fingerprint(tokenizer: PretrainedTokenizer) -> str:
    """Return a SHA-256 of the files that a tokenizer saves, and of its class's name."""
    digest = hashlib.sha256(f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}".encode())
    with scratch_folder() as folder:
        tokenizer.save_pretrained(folder)
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(data)} ".encode() + data)
    return digest.hexdigest()


def _write(
    records: Records, tokenizer: PretrainedTokenizer, packer: RowPacker, workers: int, folder: Path
) -> dict[str, Any]:
    """Write the columns of all rows, and return the metadata."""
    writers: dict[str, ArrayWriter] = {}
    waiting: list[Row] = []
    targets_only = True

    def flush() -> None:
        for name in waiting[0]:
            if name not in writers:
                writers[name] = ArrayWriter(folder / f"{name}.npy")
            writers[name].append(np.stack([row[name] for row in waiting]))
        waiting.clear()

    shown = is_terminal() or in_notebook()
    with tqdm(desc=f"tokenising {records.name}", unit=" documents", disable=not shown, delay=2, leave=False) as bar:
        for row in packer.rows(documents(records.walk(), tokenizer, workers, bar)):
            waiting.append(row)
            targets_only = targets_only and bool(row["loss_mask"].all())
            if len(waiting) == _ROWS:
                flush()
        if waiting:
            flush()
    for writer in writers.values():
        writer.close()
    if targets_only:
        writers["loss_mask"].path.unlink()
    counts = packer.counts
    return {
        "documents": counts.documents, "tokens": counts.tokens, "left": counts.left,
        "untargeted": counts.untargeted, "skipped": records.skipped, "first_skipped": records.first_skipped,
    }  # fmt: skip
