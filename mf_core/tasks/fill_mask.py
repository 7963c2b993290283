"""Filling masks: the likeliest tokens for a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import ArgumentError
from .text_pipeline import TextPipeline, softmax


class FillMaskPipeline(TextPipeline):
    """Returns the likeliest tokens for each mask of a text.

    Options beside those of :class:`~mf_core.tasks.text_pipeline.TextPipeline`: ``top_k`` (default 5), the number of
    tokens.

    Returns:
        For a text ``[{"score", "token", "token_str", "sequence"}, …]``, the likeliest first; one such list for each
        mask where a text has several; for a list of texts a list of these.
    """

    default_model: ClassVar[str | None] = "bert"
    head: ClassVar[str] = "masked_lm"
    task: ClassVar[str] = "fill_mask"
    names: ClassVar[tuple[str, ...]] = ("top_k",)

    def join(self, results: list[Any], *, one: bool) -> Any:
        """See the base class."""
        return results[0] if one else results

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        mask = self.tokenizer.convert_tokens_to_ids(self.tokenizer.mask_token or "")
        if self.tokenizer.mask_token is None or not isinstance(mask, int):
            raise ArgumentError("the tokenizer has no mask token", hint="name a model that was trained with masks")
        rows = self.encode(items, options)
        for item, row in zip(items, rows, strict=True):
            if mask not in row.ids:
                raise ArgumentError(
                    f"there is no {self.tokenizer.mask_token} in {item!r:.60}", value=item,
                    hint="put it where a word is to be found; truncation may have cut it off",
                )
        logits, count = self.logits(rows), options.get("top_k") or 5
        results = []
        for row, scores in zip(rows, logits, strict=True):
            positions = [position for position, index in enumerate(row.ids) if index == mask]
            single = len(positions) == 1
            found = [self._fill(row.ids, at, softmax(scores[at]), count, single) for at in positions]
            results.append(found[0] if len(found) == 1 else found)
        return results

    def _fill(self, ids: list[int], position: int, shares: Any, count: int, alone: bool) -> list[dict[str, Any]]:
        best = shares.argsort(kind="stable")[::-1][:count]
        return [
            {
                "score": float(shares[token]),
                "token": int(token),
                "token_str": self.tokenizer.decode([int(token)], strict=False),
                "sequence": self.tokenizer.decode(
                    [*ids[:position], int(token), *ids[position + 1 :]], skip_special_tokens=alone, strict=False
                ),
            }
            for token in best
        ]
