"""Packing documents into rows of one length."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from ...errors import DataError

Mode = Literal["join", "apart", "none"]
Row = dict[str, np.ndarray]

#: Mode "apart": the number of rows that are kept open for further documents.
_OPEN: Final = 512


class Document(NamedTuple):
    """A tokenised document.

    Attributes:
        ids: ``(n,)`` int32, its EOS included.
        prompt: The number of ids at its beginning that are not targets.
    """

    ids: np.ndarray
    prompt: int


@dataclass
class Counts:
    """The totals of a pass over the documents.

    Attributes:
        documents: Documents.
        tokens: Their ids, EOS included.
        rows: Rows made.
        left: Ids that are in no row: cut off in mode "none", or of a last row that is not full in mode "join".
        untargeted: Rows without a target, as where a prompt fills the row or a text is empty.
    """

    documents: int = 0
    tokens: int = 0
    rows: int = 0
    left: int = 0
    untargeted: int = 0


class RowPacker:
    """Packs documents into rows of one length.

    Args:
        length: Ids of a row.
        pad: The id that fills rows, or None.
        mode: ``"join"``, ``"apart"`` or ``"none"``; see :func:`mf_core.data.pack`.
        name: What messages call the dataset.

    Raises:
        DataError: The mode needs a pad id, and there is none.
    """

    def __init__(self, length: int, pad: int | None, mode: Mode, name: str) -> None:
        self.length, self.pad, self.mode, self.name = length, pad, mode, name
        self.counts = Counts()
        if pad is None and mode != "join":
            raise DataError(
                f"mode {mode!r} fills rows up, and the tokenizer has no pad token", value=mode,
                hint="give the tokenizer one: pad_token=… in from_pretrained",
            )

    def rows(self, documents: Iterable[Document]) -> Iterator[Row]:
        """Yield ``input_ids`` int32 and ``loss_mask`` uint8, and in mode "apart" ``segment_ids`` int32: ``(length,)``.

        Without a pad id, documents that are shorter than a row together make one shorter row in mode "join".

        Raises:
            DataError: The documents have less than two ids together, or no row has a target.
        """
        make = {"join": self._join, "apart": self._best_fit, "none": self._alone}[self.mode]
        for row in make(self._counted(documents)):
            self.counts.rows += 1
            self.counts.untargeted += not has_targets(row)
            yield row
        if self.counts.tokens < 2:
            raise DataError(f"{self.name} holds no text", value=self.name)
        if self.counts.untargeted == self.counts.rows:
            raise DataError(
                f"none of the {self.counts.rows} rows of {self.name} has a target, so that nothing can be learnt",
                value=self.counts.rows, why=f"prompts fill the rows of {self.length} ids",
                hint="raise max_seq_length, or shorten the prompts",
            )  # fmt: skip

    def _counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self.counts.documents += 1
            self.counts.tokens += document.ids.size
            yield document

    def _row(self, pieces: list[Document], segments: bool = False) -> Row:
        filled = sum(piece.ids.size for piece in pieces)
        size = self.length if self.pad is not None else filled
        row: Row = {
            "input_ids": np.full(size, -1 if self.pad is None else self.pad, np.int32),
            "loss_mask": np.zeros(size, np.uint8),
        }
        if segments:
            row["segment_ids"] = np.zeros(size, np.int32)
        begin = 0
        for number, (ids, prompt) in enumerate(pieces, 1):
            end = begin + ids.size
            row["input_ids"][begin:end] = ids
            row["loss_mask"][begin + prompt : end] = 1
            if segments:
                row["segment_ids"][begin:end] = number
            begin = end
        return row

    def _join(self, documents: Iterator[Document]) -> Iterator[Row]:
        open_row: list[Document] = []
        room = self.length
        for document in documents:
            for piece in _cut(document, room, self.length):
                open_row.append(piece)
                room -= piece.ids.size
                if room == 0:
                    yield self._row(open_row)
                    open_row, room = [], self.length
        left = self.length - room
        if left and (self.pad is not None or (self.counts.rows == 0 and left > 1)):
            if self.counts.tokens > 1:
                yield self._row(open_row)
        else:
            self.counts.left += left

    def _best_fit(self, documents: Iterator[Document]) -> Iterator[Row]:
        """Best fit: each piece goes into the fullest row that has enough free space, the oldest of several."""
        by_room: list[tuple[int, int]] = []
        pieces_of: dict[int, list[Document]] = {}
        count = 0
        for document in documents:
            for piece in _cut(document, self.length, self.length):
                size = piece.ids.size
                fitting = bisect_left(by_room, (size, 0))
                if fitting < len(by_room):
                    room, number = by_room.pop(fitting)
                else:
                    room, number, count = self.length, count, count + 1
                    pieces_of[number] = []
                pieces_of[number].append(piece)
                if room == size:
                    yield self._row(pieces_of.pop(number), segments=True)
                    continue
                insort(by_room, (room - size, number))
                if len(by_room) > _OPEN:
                    yield self._row(pieces_of.pop(by_room.pop(0)[1]), segments=True)
        if self.counts.tokens > 1:
            for pieces in pieces_of.values():
                yield self._row(pieces, segments=True)

    def _alone(self, documents: Iterator[Document]) -> Iterator[Row]:
        for document in documents:
            ids, prompt = document
            self.counts.left += max(ids.size - self.length, 0)
            if ids.size:
                yield self._row([Document(ids[: self.length], min(prompt, self.length))])


def has_targets(row: Row) -> bool:
    """Return whether an id of a row is predicted, from the id before it in the same segment."""
    counted = row["loss_mask"][1:] != 0
    if "segment_ids" in row:
        counted = counted & (row["segment_ids"][1:] == row["segment_ids"][:-1])
    return bool(counted.any())


def untargeted_warning(name: str, count: int, rows: int) -> str:
    """Return the warning about rows without targets; empty if there are none."""
    if not count:
        return ""
    what = f"{count} of {rows} rows have" if count != 1 else f"1 of {rows} rows has"
    return f"{name}: {what} no target, as where a prompt fills the row or a text is empty: nothing is learnt from them"


def _cut(document: Document, first: int, rest: int) -> Iterator[Document]:
    """Yield a document in pieces of ``rest`` ids, the first of at most ``first`` ids; nothing if it is empty."""
    ids, prompt = document
    begin, end = 0, first
    while begin < ids.size:
        piece = ids[begin:end]
        yield Document(piece, min(max(prompt - begin, 0), piece.size))
        begin, end = end, end + rest
