"""PanGu-alpha's tokenizer: jieba's words, then SentencePiece's pieces (Zeng et al., 2021, section 3.1)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import sentencepiece

from mf_core import PretrainedTokenizer
from mf_core.errors import FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.utils.files import atomic_path

VOCAB_FILE = "vocab.model"

_SPACE, _NEWLINE = "\u2582", "\u2583"
_TO_BLOCKS = str.maketrans(" \n", _SPACE + _NEWLINE)
_FROM_BLOCKS = str.maketrans({" ": None, _SPACE: " ", _NEWLINE: "\n"})

_WHAT = "vocab.model is PanGu-alpha's SentencePiece vocabulary of 40000 pieces"
_WHERE = (
    "take it from the PanGu-Alpha release (git.openi.org.cn/PCL-Platform.Intelligence/PanGu-Alpha) and put it beside "
    "the checkpoint's config.json"
)


class PanguAlphaTokenizer(PretrainedTokenizer):
    """Words as jieba cuts them, with spaces between, as pieces of SentencePiece.

    A text's own spaces and line ends go in as ``▂`` and ``▃``. Ids give the text back where the vocabulary has its
    characters, except that

    * a ``▂`` of the text comes back as a space, a ``▃`` as a line end, and a ``▁``, SentencePiece's own space, not at
      all;
    * what the vocabulary's normalizer rewrites (usually by NFKC: full-width letters, tabs and other white space,
      control characters) comes back as it was rewritten, and is lost where that is a space or nothing;
    * a run of characters that the vocabulary lacks comes back as ``unk_token``.

    Special tokens are what calls put around a text, never what a text contains: ``<s>`` in a text is three characters.

    Args:
        vocab_file: ``vocab.model``.
        **options: See :class:`mf_core.PretrainedTokenizer`; nothing is put around a text unless ``add_bos_token`` or
            ``add_eos_token`` says so.
    """

    def __init__(self, vocab_file: str | Path, **options: Any) -> None:
        self._pieces = _read_pieces(Path(vocab_file))
        defaults = {
            "bos_token": "<s>", "eos_token": "<eod>", "pad_token": "<pad>", "unk_token": "<unk>",
            "add_bos_token": False, "add_eos_token": False,
        }  # fmt: skip
        for name, token in list(defaults.items())[:4]:
            if name not in options and self.token_to_id(str(token)) is None:
                raise IntegrityError(
                    f"{vocab_file} has no piece {token!r}", value=str(vocab_file), why=_WHAT,
                    hint=f"{_WHERE}; for a vocabulary of your own, say {name}=… or {name}=None",
                )  # fmt: skip
        super().__init__(**{**defaults, **options})

    @classmethod
    def load(cls, source: Source, **options: Any) -> PanguAlphaTokenizer:
        """Read ``vocab.model``."""
        path = source.path(VOCAB_FILE, required=False)
        if path is None:
            raise FileMissingError(
                f"{source.location} has no {VOCAB_FILE}", value=source.location, why=_WHAT, hint=_WHERE
            )
        return cls(path, **options)

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``vocab.model``."""
        with atomic_path(directory / VOCAB_FILE) as path:
            path.write_bytes(self._pieces.serialized_model_proto())

    def encode_text(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See the base class. The offsets of a piece that is but the space before a word are empty."""
        words = list(_segmenter().cut(text))
        joined = " ".join(word.translate(_TO_BLOCKS) for word in words)
        found = self._pieces.encode(joined, return_type="offset_mapping")
        # Offset in ``joined`` -> offset in ``text``: the space before each word but the first is not of the text.
        offsets: list[int] = []
        for number, (word, end) in enumerate(zip(words, accumulate(map(len, words)), strict=True)):
            start = end - len(word)
            offsets += [start] * (number > 0) + list(range(start, end))
        offsets.append(len(text))
        return list(found["ids"]), [(offsets[start], offsets[end]) for start, end in found["offsets"]]

    def decode_ids(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        """See the base class."""
        return "".join(self._parts(ids, skip_special_tokens))

    def _parts(self, ids: Sequence[int], skip: bool) -> Iterator[str]:
        special = {self.bos_token_id, self.eos_token_id, self.pad_token_id, self.unk_token_id}
        pieces = self._pieces

        def is_special(index: int) -> bool:
            return index in special or pieces.is_control(index) or pieces.is_unknown(index)

        for apart, run in groupby(ids, is_special):
            if not apart:
                yield pieces.decode(list(run)).translate(_FROM_BLOCKS)
            elif not skip:
                yield from map(pieces.id_to_piece, run)

    def token_to_id(self, token: str) -> int | None:
        """See the base class."""
        index: int = self._pieces.piece_to_id(token)
        return index if self._pieces.id_to_piece(index) == token else None

    def id_to_token(self, index: int) -> str | None:
        """See the base class."""
        return self._pieces.id_to_piece(index) if 0 <= index < len(self) else None

    def __len__(self) -> int:
        """See the base class."""
        return int(self._pieces.get_piece_size())


def _read_pieces(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileMissingError(
            f"{str(path)!r} cannot be read", value=str(path), why=f"{error.strerror}; {_WHAT}", hint=_WHERE
        ) from error
    pieces = sentencepiece.SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(data)
    except RuntimeError as error:
        raise IntegrityError(
            f"{path} is not a SentencePiece model", value=str(path), why=f"{error}; {_WHAT}", hint=_WHERE
        ) from error
    return pieces


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    """Return jieba's segmenter with its own dictionary: not the one that a program shares and may have added words to.

    Its dictionary is read here, since its own way writes a cache into the temporary directory, trusts the one that it
    finds there, and talks on stderr.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jieba's own source
        import jieba
    segmenter = jieba.Tokenizer()
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
