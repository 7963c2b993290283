"""CLIP's byte-level BPE of lower-case words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from mf_core.errors import FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.tokenization import TOKENIZER_FILE, FastTokenizer, with_added_tokens

_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_START, _END = "<|startoftext|>", "<|endoftext|>"


class CLIPTokenizer(FastTokenizer):
    """Byte-level BPE, read from ``tokenizer.json`` or ``vocab.json`` and ``merges.txt``; texts get a start and an end.

    Args:
        backend: The library's tokenizer.
        **options: See :class:`mf_core.PretrainedTokenizer`.
    """

    special_tokens: ClassVar[Mapping[str, str]] = {
        "bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END,
    }  # fmt: skip

    def __init__(self, backend: tokenizers.Tokenizer, **options: Any) -> None:
        known = {k: token for k, token in self.special_tokens.items() if backend.token_to_id(token) is not None}
        super().__init__(backend, **{**known, **options})

    @classmethod
    def load(cls, source: Source, **options: Any) -> CLIPTokenizer:
        """Read ``tokenizer.json``, or else ``vocab.json`` and ``merges.txt``."""
        if source.path(TOKENIZER_FILE, required=False) is not None:
            return super().load(source, **options)
        files = [source.path(name, required=False) for name in ("vocab.json", "merges.txt")]
        if None in files:
            raise FileMissingError(
                f"{source.location} has no vocabulary", value=source.location,
                why=f"there is neither {TOKENIZER_FILE} nor vocab.json with merges.txt",
            )  # fmt: skip
        backend = read_vocabulary(*map(str, files))
        return cls(with_added_tokens(backend, source), **options)


def read_vocabulary(vocabulary: str, merges: str) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``vocab.json`` and its ``merges.txt``.

    Raises:
        IntegrityError: They are not a vocabulary of CLIP.
    """
    try:
        model = models.BPE.from_file(
            vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False, unk_token=_END
        )
    except Exception as error:  # the library raises plain Exception
        raise IntegrityError(
            f"{vocabulary} and {merges} are not a BPE vocabulary", value=vocabulary, why=str(error)
        ) from error
    backend = tokenizers.Tokenizer(model)
    ends = [(token, backend.token_to_id(token)) for token in (_END, _START)]
    known = [(token, index) for token, index in ends if index is not None]
    if len(known) < len(ends):
        raise IntegrityError(
            f"{vocabulary} is not CLIP's vocabulary", value=vocabulary, why=f"it lacks {_START} or {_END}"
        )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])  # fmt: skip
    spaces = [decoders.Replace("</w>", " "), decoders.Strip(" ", 0, 1)]
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), *spaces])
    backend.post_processor = processors.RobertaProcessing(known[0], known[1], False, False)
    return backend
