"""WordPiece (Devlin et al., 2019) and RoBERTa's byte-level BPE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from mf_core.errors import FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.tokenization import TOKENIZER_FILE, FastTokenizer, with_added_tokens


class BertTokenizer(FastTokenizer):
    """WordPiece, read from ``tokenizer.json`` or ``vocab.txt``; a text gets ``[CLS]`` and ``[SEP]`` around it.

    Args:
        backend: The library's tokenizer.
        do_lower_case: Whether ``vocab.txt`` is of lower-case texts; ``tokenizer.json`` says it itself.
        strip_accents: Whether accents are removed; None: where texts are lower-cased.
        tokenize_chinese_chars: Whether each Chinese character is a separate token.
        **options: See :class:`mf_core.PretrainedTokenizer`.
    """

    options: ClassVar[tuple[str, ...]] = (
        *FastTokenizer.options, "do_lower_case", "strip_accents", "tokenize_chinese_chars",
    )  # fmt: skip
    special_tokens: ClassVar[Mapping[str, str]] = {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    }  # fmt: skip

    def __init__(
        self, backend: tokenizers.Tokenizer, *, do_lower_case: bool = True, strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        self.do_lower_case, self.strip_accents = do_lower_case, strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        super().__init__(backend, **with_defaults(backend, self.special_tokens, options))

    @classmethod
    def load(cls, source: Source, **options: Any) -> BertTokenizer:
        """Read ``tokenizer.json``, or else ``vocab.txt``."""
        if source.path(TOKENIZER_FILE, required=False) is not None:
            return super().load(source, **options)
        vocabulary = source.path("vocab.txt", required=False)
        if vocabulary is None:
            raise no_vocabulary(source, "vocab.txt")
        names = {**cls.special_tokens, **{k: v for k, v in options.items() if k in cls.special_tokens and v}}
        backend = read_wordpiece(
            vocabulary, names, lowercase=options.get("do_lower_case", True),
            strip_accents=options.get("strip_accents"), chinese=options.get("tokenize_chinese_chars", True),
        )  # fmt: skip
        return cls(with_added_tokens(backend, source), **options)


class DistilBertTokenizer(BertTokenizer):
    """DistilBERT's WordPiece, which is BERT's."""


class RobertaTokenizer(FastTokenizer):
    """Byte-level BPE, read from ``tokenizer.json`` or ``vocab.json`` and ``merges.txt``; ``<s>`` and ``</s>`` around.

    Args:
        backend: The library's tokenizer.
        add_prefix_space: Whether a text is read as though it began with a space.
        **options: See :class:`mf_core.PretrainedTokenizer`.
    """

    options: ClassVar[tuple[str, ...]] = (*FastTokenizer.options, "add_prefix_space")
    special_tokens: ClassVar[Mapping[str, str]] = {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
        "cls_token": "<s>", "mask_token": "<mask>",
    }  # fmt: skip

    def __init__(self, backend: tokenizers.Tokenizer, *, add_prefix_space: bool = False, **options: Any) -> None:
        self.add_prefix_space = add_prefix_space
        super().__init__(backend, **with_defaults(backend, self.special_tokens, options))

    @classmethod
    def load(cls, source: Source, **options: Any) -> RobertaTokenizer:
        """Read ``tokenizer.json``, or else ``vocab.json`` and ``merges.txt``."""
        if source.path(TOKENIZER_FILE, required=False) is not None:
            return super().load(source, **options)
        vocabulary, merges = (source.path(name, required=False) for name in ("vocab.json", "merges.txt"))
        if vocabulary is None or merges is None:
            raise no_vocabulary(source, "vocab.json with merges.txt")
        names = {**cls.special_tokens, **{k: v for k, v in options.items() if k in cls.special_tokens and v}}
        backend = read_bpe(vocabulary, merges, names, bool(options.get("add_prefix_space", False)))
        return cls(with_added_tokens(backend, source), **options)


def with_defaults(
    backend: tokenizers.Tokenizer, names: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return options with the family's special tokens, as far as the vocabulary has them."""
    return {**{k: token for k, token in names.items() if backend.token_to_id(token) is not None}, **options}


def no_vocabulary(source: Source, files: str) -> FileMissingError:
    """Return the error of a checkpoint without a vocabulary."""
    return FileMissingError(
        f"{source.location} has no vocabulary", value=source.location,
        why=f"there is neither {TOKENIZER_FILE} nor {files}",
    )  # fmt: skip


def read_wordpiece(
    path: Path, names: Mapping[str, str], *, lowercase: bool, strip_accents: bool | None, chinese: bool
) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``vocab.txt``: one token a line, its id the number of the line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path} is not UTF-8 text", value=str(path), why=str(error)) from error
    lines = lines[:-1] if lines and not lines[-1] else lines
    vocabulary = {token.rstrip("\r"): index for index, token in enumerate(lines)}
    missing = [names[name] for name in ("unk_token", "cls_token", "sep_token") if names[name] not in vocabulary]
    if missing:
        raise IntegrityError(f"{path} is not a WordPiece vocabulary", value=str(path), why=f"it lacks {missing[0]}")
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk_token"]))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    first, last = names["cls_token"], names["sep_token"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0", pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )  # fmt: skip
    return backend


def read_bpe(
    vocabulary: Path, merges: Path, names: Mapping[str, str], add_prefix_space: bool
) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``vocab.json`` and its ``merges.txt``."""
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises plain Exception
        raise IntegrityError(
            f"{vocabulary} and {merges} are not a BPE vocabulary", value=str(vocabulary), why=str(error)
        ) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    first, last = names["cls_token"], names["sep_token"]
    ends = [(token, backend.token_to_id(token)) for token in (last, first)]
    known = [(token, index) for token, index in ends if index is not None]
    if len(known) < len(ends):
        raise IntegrityError(
            f"{vocabulary} is not RoBERTa's vocabulary", value=str(vocabulary), why=f"it lacks {first} or {last}"
        )
    backend.post_processor = processors.RobertaProcessing(known[0], known[1], True, add_prefix_space)
    return backend
