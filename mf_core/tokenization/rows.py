"""Rows of ids: padded to one length, and made into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ArgumentError

Side = Literal["left", "right"]
Span = tuple[int, int]


@dataclass
class Row:
    """The ids of one text.

    Attributes:
        ids: Of its tokens, special ones included.
        spans: Each one's ``(start, end)`` in characters; ``(0, 0)`` for special tokens.
        types: Each one's segment; empty: all are of segment 0.
        sources: Of a pair: 0 for a token of the first text, 1 for one of the second, None for special tokens.
    """

    ids: list[int]
    spans: list[Span]
    types: list[int] = field(default_factory=list)
    sources: list[int | None] = field(default_factory=list)


def pad_rows(rows: Sequence[Row], width: int | None, pad: int | None, side: Side, *, offsets: bool) -> dict[str, Any]:
    """Return ``input_ids``, ``token_type_ids``, ``attention_mask`` and, with ``offsets``, ``offset_mapping``.

    Args:
        rows: None is longer than ``width``.
        width: Length of the padded rows; None: they are not padded.
        pad: Id of the padding, whose mask is 0.
        side: Where the padding is added.
        offsets: Whether to add the spans.

    Raises:
        ArgumentError: There is padding to add and no id for it.
    """
    result: dict[str, list[Any]] = {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    if offsets:
        result["offset_mapping"] = []
    for row in rows:
        count = len(row.ids)
        missing = 0 if width is None else width - count
        if missing and pad is None:
            raise ArgumentError("padding needs a pad token", hint="pass pad_token=… to from_pretrained")
        columns: list[tuple[list[Any], Any]] = [
            (row.ids, pad), (row.types or [0] * count, 0), ([1] * count, 0), (row.spans, (0, 0))
        ]  # fmt: skip
        for name, (column, fill) in zip(result, columns, strict=False):
            padding = [fill] * missing
            result[name].append(padding + column if side == "left" else column + padding)
    return result


def as_tensor(rows: list[Any], kind: Literal["np", "ms"]) -> Any:
    """Return rows of one length as a numpy int64 array or a MindSpore int32 tensor; raise ArgumentError for others."""
    import numpy as np

    if not rows:
        raise ArgumentError("an empty list of texts makes no tensor", value=rows)
    if len({len(row) for row in rows}) > 1:
        raise ArgumentError(
            "rows of unequal length make no tensor", value=[len(row) for row in rows], hint="pass padding=True"
        )
    if kind == "np":
        return np.array(rows, dtype=np.int64)
    from ..backends.base import import_mindspore

    return import_mindspore().Tensor(np.array(rows, dtype=np.int32))
