"""Ids to text, and tokens to ids and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..boundary import public
from ..errors import ArgumentError, ArgumentTypeError
from .special_tokens import SpecialTokens


class Decoding(SpecialTokens):
    """The part of a tokenizer that reads ids."""

    if TYPE_CHECKING:

        def __len__(self) -> int: ...
        def decode_ids(self, ids: Sequence[int], skip_special_tokens: bool) -> str: ...  # noqa: D102
        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...  # noqa: D102
        def id_to_token(self, index: int) -> str | None: ...  # noqa: D102

    @property
    def max_id(self) -> int:
        """The highest id of the vocabulary; more than ``len(self) - 1`` where ids are left out."""
        return len(self) - 1

    @public
    def decode(self, ids: int | Iterable[int], *, skip_special_tokens: bool = False, strict: bool = True) -> str:
        """Return the text of ids (a list, an array or a tensor of one dimension).

        Args:
            ids: One or several.
            skip_special_tokens: Leave special tokens out.
            strict: False: leave out ids that the vocabulary lacks, such as those of a model whose table is longer.

        Raises:
            ArgumentError: ``strict``, and an id is negative or beyond the vocabulary's highest.
        """
        values = _plain_ids(ids)
        wrong = [value for value in values if not 0 <= value <= self.max_id]
        if wrong and strict:
            raise ArgumentError(
                f"id {wrong[0]} is not in the vocabulary of {len(self)} entries", value=wrong[0],
                hint="strict=False leaves out what the vocabulary lacks",
            )
        return self.decode_ids([i for i in values if self.id_to_token(i) is not None], skip_special_tokens)

    @public
    def batch_decode(self, rows: Iterable[Any], *, skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each row of ids."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]

    @public
    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of one text, without BOS and EOS."""
        return [self.id_to_token(index) or "" for index in self.encode(text, add_special_tokens=False)]

    @public
    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int | None] | None:
        """Return the id of a token, or of each of a list; ``unk_token_id`` (or None) for what the vocabulary lacks."""
        if isinstance(tokens, str):
            index = self.token_to_id(tokens)
            return self.unk_token_id if index is None else index
        return [self.unk_token_id if (i := self.token_to_id(token)) is None else i for token in tokens]

    @public
    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> str | list[str | None] | None:
        """Return the token of an id, or of each of a list; None for ids that the vocabulary lacks."""
        if isinstance(ids, (int, Integral)):
            return self.id_to_token(int(ids))
        return [self.id_to_token(int(index)) for index in ids]


def _plain_ids(ids: Any) -> list[int]:
    if hasattr(ids, "asnumpy"):
        ids = ids.asnumpy()
    values = ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(values, Iterable):
        values = [values]
    values = list(values)
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in values):
        raise ArgumentTypeError(f"decode takes a flat list of ids, not {values!r:.80}", value=values)
    return [int(value) for value in values]

