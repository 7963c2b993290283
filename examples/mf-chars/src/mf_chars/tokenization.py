"""A tokenizer of characters, with the vocabulary in ``vocab.json``: characters in the order of their ids."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mf_core import PretrainedTokenizer
from mf_core.errors import ArgumentError, ArgumentTypeError, IntegrityError
from mf_core.hub import Source

#: The first ids: what fills rows up, what ends a text, and what stands for a character that the vocabulary lacks.
SPECIAL = ("<pad>", "<end>", "<unk>")
VOCABULARY_FILE = "vocab.json"


class CharsTokenizer(PretrainedTokenizer):
    """Each character is a token. Those that the vocabulary lacks become ``<unk>``, which decodes to U+FFFD.

    Args:
        characters: The vocabulary, in the order of the ids, which follow those of the special tokens.
        **options: See :class:`mf_core.PretrainedTokenizer`.

    Raises:
        ArgumentError: A character is there twice, or is none.
    """

    def __init__(self, characters: Sequence[str], **options: Any) -> None:
        for character in characters:
            if not isinstance(character, str) or len(character) != 1:
                raise ArgumentError(f"{character!r} is not one character", value=character)
        self.tokens = [*SPECIAL, *characters]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise ArgumentError(f"the character {twice!r} is in the vocabulary twice", value=twice)
        super().__init__(**{"pad_token": "<pad>", "eos_token": "<end>", "unk_token": "<unk>", **options})

    @classmethod
    def from_texts(cls, texts: Iterable[str], *, min_count: int = 1, **options: Any) -> CharsTokenizer:
        """Return a tokenizer with the characters of texts, sorted.

        Args:
            texts: Each is read once.
            min_count: How often a character must occur to be in the vocabulary.
            **options: The constructor's.
        """
        if isinstance(texts, str):
            raise ArgumentTypeError("from_texts takes several texts", value=texts, hint=f"from_texts([{texts!r:.40}])")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        return cls(sorted(character for character, count in counts.items() if count >= min_count), **options)

    @classmethod
    def load(cls, source: Source, **options: Any) -> CharsTokenizer:
        """See the base class; raise IntegrityError where ``vocab.json`` is no list of characters."""
        path = source.path(VOCABULARY_FILE)
        try:
            characters = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(characters, list):
                raise ValueError(f"it holds a {type(characters).__name__}")
            return cls(characters, **options)
        except ValueError as error:  # not JSON, not UTF-8; and ArgumentError is one
            raise IntegrityError(f"{path} is not a list of characters", value=str(path), why=str(error)) from error

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``vocab.json``."""
        characters = self.tokens[len(SPECIAL) :]
        (directory / VOCABULARY_FILE).write_text(json.dumps(characters, ensure_ascii=False) + "\n", encoding="utf-8")

    def encode_text(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See the base class."""
        unknown = self.ids["<unk>"]
        return [self.ids.get(c, unknown) for c in text], [(position, position + 1) for position in range(len(text))]

    def decode_ids(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        """See the base class. ``<unk>`` stands for a character, so it is shown either way."""
        shown = {"<unk>": "\ufffd"} | ({"<pad>": "", "<end>": ""} if skip_special_tokens else {})
        return "".join(shown.get(self.tokens[index], self.tokens[index]) for index in ids)

    def token_to_id(self, token: str) -> int | None:
        """See the base class."""
        return self.ids.get(token)

    def id_to_token(self, index: int) -> str | None:
        """See the base class."""
        return self.tokens[index] if 0 <= index < len(self.tokens) else None

    def __len__(self) -> int:
        """See the base class."""
        return len(self.tokens)
