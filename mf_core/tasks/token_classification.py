"""Classifying tokens, and grouping them into entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from ..tokenization.fast import FastTokenizer
from ..tokenization.rows import Row
from .text_pipeline import TextPipeline, labels_of, softmax

STRATEGIES = ("simple", "first", "average", "max", "none")


@dataclass
class _Piece:
    """A token, or a word made of several: its tokens, its characters, and the scores of the labels."""

    tokens: list[str]
    start: int
    end: int
    scores: np.ndarray
    is_subword: bool = False

    @property
    def label(self) -> int:
        return int(self.scores.argmax())


class TokenClassificationPipeline(TextPipeline):
    """Returns the entities of texts.

    Options beside those of :class:`~mf_core.tasks.text_pipeline.TextPipeline`:

    * ``aggregation_strategy`` (default ``"simple"``): tokens of one label that follow each other are a group, unless
      one begins with ``B-``; ``"first"``, ``"average"`` and ``"max"`` first give all tokens of a word one label: the
      first token's, the best on average, or that of the highest score; ``"none"`` returns tokens.
    * ``ignore_labels`` (default ``("O",)``): labels that are left out.

    Returns:
        A list with ``[{"entity_group", "score", "word", "start", "end"}, …]`` for each text: ``start`` and ``end`` in
        characters, ``end`` exclusive. With ``"none"``, ``entity`` and ``index`` (of the token) instead of the group.
    """

    head: ClassVar[str] = "token_classification"
    task: ClassVar[str] = "token_classification"
    names: ClassVar[tuple[str, ...]] = ("aggregation_strategy", "ignore_labels")

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        strategy = options.get("aggregation_strategy", "simple")
        if strategy not in STRATEGIES:
            raise ArgumentError(
                f"aggregation_strategy={strategy!r} is none of {', '.join(STRATEGIES)}", value=strategy
            )

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        rows = self.encode(items, options)
        logits = self.logits(rows)
        names, ignored = labels_of(self.model, logits.shape[-1]), options.get("ignore_labels", ("O",))
        strategy = options.get("aggregation_strategy", "simple")
        results = []
        for text, row, scores in zip(items, rows, logits, strict=True):
            pieces = self._pieces(text, row, softmax(scores))
            if strategy == "none":
                results.append(self._tokens(pieces, names, ignored))
                continue
            found = [piece for _, piece in pieces]
            if strategy != "simple":
                found = [_as_word(word, strategy) for word in _words(found)]
            results.append(self._groups(found, names, ignored))
        return results

    def _pieces(self, text: str, row: Row, scores: np.ndarray) -> list[tuple[int, _Piece]]:
        pieces = []
        for position, (index, (start, end)) in enumerate(zip(row.ids, row.spans, strict=True)):
            if start == end:  # a special token
                continue
            token = self.tokenizer.id_to_token(index) or ""
            if index == self.tokenizer.unk_token_id:
                token = text[start:end]
            if token.startswith("##"):
                is_subword = True
            else:  # a vocabulary without marks for the rest of words: these follow without a blank
                marked = token[:1] in ("Ġ", "▁") or text[start : start + 1].isspace()
                is_subword = start > 0 and not marked and self._has_spaces and not text[start - 1].isspace()
            pieces.append((position, _Piece([token], start, end, scores[position], is_subword)))
        return pieces

    @property
    def _has_spaces(self) -> bool:
        """Whether the vocabulary marks the beginning of a word by the blank before it, rather than by ``##``."""
        return self.tokenizer.token_to_id("##s") is None

    def _tokens(
        self, pieces: Sequence[tuple[int, _Piece]], names: Sequence[str], ignored: Sequence[str]
    ) -> list[dict[str, Any]]:
        return [
            {
                "entity": names[piece.label], "score": float(piece.scores.max()), "index": position,
                "word": piece.tokens[0], "start": piece.start, "end": piece.end,
            }
            for position, piece in pieces if names[piece.label] not in ignored
        ]  # fmt: skip

    def _groups(
        self, pieces: Sequence[_Piece], names: Sequence[str], ignored: Sequence[str]
    ) -> list[dict[str, Any]]:
        groups: list[list[_Piece]] = []
        last = None
        for piece in pieces:
            name = names[piece.label]
            if name in ignored:
                last = None
                continue
            begins, kind = name.startswith("B-"), name[2:] if name[:2] in ("B-", "I-") else name
            if last == kind and not begins:
                groups[-1].append(piece)
            else:
                groups.append([piece])
            last = kind
        found = []
        for group in groups:
            name = names[group[0].label]
            found.append({
                "entity_group": name[2:] if name[:2] in ("B-", "I-") else name,
                "score": float(np.mean([piece.scores.max() for piece in group])),
                "word": self._text([token for piece in group for token in piece.tokens]),
                "start": group[0].start,
                "end": group[-1].end,
            })  # fmt: skip
        return found

    def _text(self, tokens: list[str]) -> str:
        decoder = self.tokenizer.backend.decoder if isinstance(self.tokenizer, FastTokenizer) else None
        return (" ".join(tokens) if decoder is None else decoder.decode(tokens)).strip()


def _words(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    words: list[list[_Piece]] = []
    for piece in pieces:
        if piece.is_subword and words:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _as_word(word: Sequence[_Piece], strategy: str) -> _Piece:
    """Return one piece of a word's tokens, with one label."""
    if strategy == "first":
        scores = word[0].scores
    elif strategy == "average":
        scores = np.mean([piece.scores for piece in word], 0)
    else:
        scores = max((piece.scores for piece in word), key=lambda each: float(each.max()))
    return _Piece([token for piece in word for token in piece.tokens], word[0].start, word[-1].end, scores)
