"""T5's SentencePiece vocabulary (Kudo, 2018) on the Rust ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from mf_core.errors import FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.tokenization import TOKENIZER_FILE, FastTokenizer, with_added_tokens

from .pieces import read_unigram

T = TypeVar("T", bound="T5Tokenizer")


class T5Tokenizer(FastTokenizer):
    """Unigram pieces, read from ``tokenizer.json`` or ``spiece.model``; a text ends with ``</s>``.

    Args:
        backend: The library's tokenizer.
        extra_ids: Sentinels ``<extra_id_0>``, … after the pieces of ``spiece.model``.
        **options: See :class:`mf_core.PretrainedTokenizer`.
    """

    options: ClassVar[tuple[str, ...]] = (*FastTokenizer.options, "extra_ids")
    special_tokens: ClassVar[Mapping[str, str]] = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

    def __init__(self, backend: tokenizers.Tokenizer, *, extra_ids: int = 100, **options: Any) -> None:
        self.extra_ids = extra_ids
        names = {k: token for k, token in self.special_tokens.items() if backend.token_to_id(token) is not None}
        super().__init__(backend, **{**names, **options})

    @classmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """Read ``tokenizer.json``, or else ``spiece.model``."""
        if source.path(TOKENIZER_FILE, required=False) is not None:
            tokenizer = super().load(source, **options)
            tokenizer.options = FastTokenizer.options  # type: ignore[misc]  # extra_ids is of spiece.model alone
            return tokenizer
        vocabulary = source.path("spiece.model", required=False)
        if vocabulary is None:
            raise FileMissingError(
                f"{source.location} has no vocabulary", value=source.location,
                why=f"there is neither {TOKENIZER_FILE} nor spiece.model",
            )  # fmt: skip
        backend = read_pieces(vocabulary, int(options.get("extra_ids", 100)))
        return cls(with_added_tokens(backend, source), **options)

    def _saved_class(self) -> str:
        """Return the generic class where the file names it: transformers' T5Tokenizer would rebuild the pipeline."""
        read = self._files.fields.get("tokenizer_class")
        return read if read in ("PreTrainedTokenizerFast", "TokenizersBackend") else super()._saved_class()


class MT5Tokenizer(T5Tokenizer):
    """mT5's pieces, among which the sentinels are already."""

    def __init__(self, backend: tokenizers.Tokenizer, *, extra_ids: int = 0, **options: Any) -> None:
        super().__init__(backend, extra_ids=extra_ids, **options)

    @classmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """See the base class."""
        return super().load(source, **{"extra_ids": 0, **options})


def read_pieces(path: Path, extra_ids: int) -> tokenizers.Tokenizer:
    """Return the tokenizer of a SentencePiece model of the unigram kind.

    Args:
        path: ``spiece.model``.
        extra_ids: Number of sentinels to add after its pieces.

    Raises:
        IntegrityError: The file is damaged, or of another kind.
    """
    try:
        model = read_unigram(path.read_bytes())
        pieces = [*model.pieces, *((f"<extra_id_{number}>", 0.0) for number in reversed(range(extra_ids)))]
        backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=model.unknown, byte_fallback=False))
        backend.normalizer = normalizers.Precompiled(model.characters) if model.characters else None
    except Exception as error:  # the library raises plain Exception
        raise IntegrityError(
            f"{path} is not a SentencePiece model of the unigram kind", value=str(path), why=str(error)
        ) from error
    backend.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    ])  # fmt: skip
    backend.decoder = decoders.Metaspace("▁", prepend_scheme="always", split=True)
    end = backend.token_to_id("</s>")
    if end is None:
        raise IntegrityError(f"{path} has no piece </s>", value=str(path))
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)]
    )
    sentinels = [f"<extra_id_{number}>" for number in range(extra_ids)]
    backend.add_special_tokens([
        tokenizers.AddedToken(token, normalized=False, special=True)
        for token in ("<pad>", "</s>", "<unk>", *sentinels) if backend.token_to_id(token) is not None
    ])  # fmt: skip
    return backend
