"""Tokenizers on the Rust ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import IntegrityError
from ..utils.files import write_text
from .base import PretrainedTokenizer

if TYPE_CHECKING:
    import tokenizers

    from ..hub import Source

T = TypeVar("T", bound="FastTokenizer")


class FastTokenizer(PretrainedTokenizer):
    """A tokenizer on the Rust ``tokenizers`` library, read from ``tokenizer.json``.

    Args:
        backend: The library's tokenizer; its own post-processor, padding and truncation are not used.
        **options: See :class:`PretrainedTokenizer`.
    """

    def __init__(self, backend: tokenizers.Tokenizer, **options: Any) -> None:
        self.backend = backend
        backend.no_padding()
        backend.no_truncation()
        backend.post_processor = None  # it would trim the offsets
        super().__init__(**options)

    @classmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """Read ``tokenizer.json``."""
        path = source.path("tokenizer.json")
        assert path is not None
        return cls(read_tokenizer_json(path), **options)

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``tokenizer.json``, with a post-processor that adds BOS and EOS as a call here does."""
        self.backend.post_processor = self._post_processor()
        write_text(directory / "tokenizer.json", self.backend.to_str(pretty=True))
        self.backend.post_processor = None

    def _post_processor(self) -> tokenizers.processors.PostProcessor:
        from tokenizers.processors import TemplateProcessing

        before = [self.bos_token] if self.add_bos_token and self.bos_token is not None else []
        after = [self.eos_token] if self.add_eos_token and self.eos_token is not None else []
        ids = {token: self.token_to_id(token) for token in (*before, *after)}
        return TemplateProcessing(single=[*before, "$A", *after], special_tokens=list(ids.items()))

    def encode_text(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See the base class."""
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """See the base class; the library's threads share the texts, unless a subclass encodes in its own way."""
        if type(self).encode_text is not FastTokenizer.encode_text:
            return super().encode_batch(texts)
        checked = self._texts(texts)
        try:
            return [encoding.ids for encoding in self.backend.encode_batch_fast(checked, add_special_tokens=False)]
        except (UnicodeEncodeError, TypeError):
            return super().encode_batch(texts)  # which says what is wrong with which text

    def decode_ids(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        """See the base class."""
        return self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def token_to_id(self, token: str) -> int | None:
        """See the base class."""
        return self.backend.token_to_id(token)

    def id_to_token(self, index: int) -> str | None:
        """See the base class."""
        return self.backend.id_to_token(index) if 0 <= index < 2**32 else None

    def __len__(self) -> int:
        """See the base class."""
        return self.backend.get_vocab_size(with_added_tokens=True)


def read_tokenizer_json(path: Path) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``; raise IntegrityError where it is not one."""
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise IntegrityError(f"{path} is not a tokenizer file", value=str(path), why=str(error)) from error
