"""Tokenizers on the Rust ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import ArgumentError, ConfigError, FileMissingError, IntegrityError, UnsupportedError
from ..utils.files import write_text
from .base import PretrainedTokenizer
from .files import SPECIAL_TOKENS, AddedToken, read_tokenizer_files
from .rows import Row, Span

if TYPE_CHECKING:
    import tokenizers

    from ..hub import Source

T = TypeVar("T", bound="FastTokenizer")

TOKENIZER_FILE = "tokenizer.json"


class FastTokenizer(PretrainedTokenizer):
    """A tokenizer on the Rust ``tokenizers`` library, read from any ``tokenizer.json``.

    What calls put around a text is what the file's post-processor says. ``add_bos_token`` and ``add_eos_token`` are
    read from it, and give it another where they are set; both end in the file that is saved. With
    ``prompt_special_tokens=False`` it is left as it is: the two then hold for direct calls alone, and
    ``tokenizer_config.json`` keeps them.

    Args:
        backend: The library's tokenizer.
        **options: See :class:`PretrainedTokenizer`.
    """

    _prompts_by_default: ClassVar[bool] = True

    def __init__(self, backend: tokenizers.Tokenizer, **options: Any) -> None:
        self.backend = backend
        self._padding, self._truncation = backend.padding, backend.truncation  # written back
        backend.no_padding()
        backend.no_truncation()
        self._max_id: int | None = None
        named = [options.get(name) for name in SPECIAL_TOKENS]
        self._mark_special([token for token in named if isinstance(token, str)])
        self._mark_special(options.get("extra_special_tokens") or ())
        super().__init__(**options)

    def _mark_special(self, texts: Sequence[str]) -> None:
        """Have tokens of the vocabulary found in texts as wholes, and left out of decoded text on request."""
        from tokenizers import AddedToken as BackendToken

        special = {token.content for token in self.backend.get_added_tokens_decoder().values() if token.special}
        new = [text for text in dict.fromkeys(texts) if self.token_to_id(text) is not None and text not in special]
        self.backend.add_special_tokens([BackendToken(text, normalized=False, special=True) for text in new])

    # What is put around texts ---------------------------------------------------------------------------------------

    def _set_special(
        self, add_bos_token: bool | None, add_eos_token: bool | None, prompt_special_tokens: bool | None
    ) -> None:
        self.prompt_special_tokens = prompt_special_tokens is not False
        self._calls: dict[str, bool] | None = None
        self._set_by_user = add_bos_token is not None or add_eos_token is not None
        if not self.prompt_special_tokens:
            self._calls = {"bos": bool(add_bos_token), "eos": bool(add_eos_token)}
        elif self._set_by_user:
            self._replace_post_processor(add_bos_token, add_eos_token)

    @property
    def add_bos_token(self) -> bool:
        """Whether a call puts ``bos_token`` before the ids."""
        before = self.special_ids()[0]
        return self._calls["bos"] if self._calls is not None else before[:1] == [self.bos_token_id]

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self._set_flag("bos", value)

    @property
    def add_eos_token(self) -> bool:
        """Whether a call puts ``eos_token`` after the ids."""
        after = self.special_ids()[1]
        return self._calls["eos"] if self._calls is not None else after[-1:] == [self.eos_token_id]

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self._set_flag("eos", value)

    def _set_flag(self, which: str, value: bool) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"add_{which}_token={value!r} is neither True nor False", value=value)
        if self._calls is not None:
            self._calls[which] = value
            return
        self._set_by_user = True
        self._replace_post_processor(*((value, None) if which == "bos" else (None, value)))

    def _replace_post_processor(self, bos: bool | None, eos: bool | None) -> None:
        """Have the post-processor put BOS and EOS around texts; None: as it does now."""
        from tokenizers.processors import TemplateProcessing

        now = (self.add_bos_token, self.add_eos_token)
        wanted = (now[0] if bos is None else bos, now[1] if eos is None else eos)
        if wanted == now:
            return
        for name, token, asked in (("bos", self.bos_token, bos), ("eos", self.eos_token, eos)):
            if asked and token is None:
                raise ConfigError(f"add_{name}_token=True needs a {name}_token, and there is none", value=True)
        before = [self.bos_token] if wanted[0] and self.bos_token is not None else []
        after = [self.eos_token] if wanted[1] and self.eos_token is not None else []
        ids = {token: self.token_to_id(token) for token in (*before, *after)}
        second = [f"{token}:1" for token in before] + ["$B:1"] + [f"{token}:1" for token in after]
        single = [*before, "$A", *after]
        self.backend.post_processor = TemplateProcessing(
            single=single, pair=[*single, *second], special_tokens=list(ids.items())
        )

    def special_ids(self) -> tuple[list[int], list[int]]:
        """See the base class."""
        if self._calls is not None:
            bos, eos = self.bos_token_id, self.eos_token_id
            before = [bos] if self._calls["bos"] and bos is not None else []
            return before, [eos] if self._calls["eos"] and eos is not None else []
        probe = next(
            (found for text in ("a", "1", self.backend.id_to_token(self.max_id) or "")
             if len(found := self.backend.encode(text, add_special_tokens=False))), None,
        )  # fmt: skip
        if probe is None:  # a vocabulary of nothing
            return list(self.backend.encode("", add_special_tokens=True).ids), []
        whole = self.backend.post_process(probe, None, True)
        own = [position for position, sequence in enumerate(whole.sequence_ids) if sequence is not None]
        return list(whole.ids[: own[0]]), list(whole.ids[own[-1] + 1 :])

    def _encode(self, text: str, special: bool, limit: int | None) -> Row:
        if type(self).encode_text is not FastTokenizer.encode_text or (special and self._calls is not None):
            return super()._encode(text, special, limit)
        encoding = self.backend.encode(text, add_special_tokens=False)
        if limit is not None:
            room = self._text_limit(limit, self.backend.num_special_tokens_to_add(False) if special else 0)
            encoding.truncate(room, direction=self.truncation_side)
        if special:
            encoding = self.backend.post_process(encoding, None, True)
        return Row(encoding.ids, encoding.offsets, encoding.type_ids)

    def encode_pair(self, text: str, second: str, special: bool, limit: int | None) -> Row:
        """See the base class."""
        first, other = self._encode_alone(text), self._encode_alone(second)
        if limit is not None:
            room = self._text_limit(limit, self.backend.num_special_tokens_to_add(True) if special else 0)
            for encoding, kept in zip((first, other), share_room(len(first), len(other), room), strict=True):
                if kept < len(encoding):
                    encoding.truncate(kept, direction=self.truncation_side)
        return self._joined(first, other, special)

    def encode_windows(self, text: str, second: str, limit: int, stride: int) -> list[Row]:
        """Return rows of a text with parts of a second one that follow each other, such as a question and a context.

        Args:
            text: In every row as a whole.
            second: Cut into parts.
            limit: Most ids of a row.
            stride: Ids that a part has in common with the one before.

        Raises:
            ArgumentError: The first text leaves no more than ``stride`` ids for the second.
        """
        first, other = self._encode_alone(text), self._encode_alone(second)
        room = limit - self.backend.num_special_tokens_to_add(True) - len(first)
        if room <= stride:
            raise ArgumentError(
                f"{len(first)} tokens of the first text leave {max(room, 0)} for the second", value=limit,
                why=f"a row has {limit}, and parts overlap by {stride}", hint="give a shorter text or a smaller stride",
            )  # fmt: skip
        if len(other) <= room:
            return [self._joined(first, other, True)]
        other.truncate(room, stride=stride, direction="right")
        return [self._joined(first, part, True) for part in (other, *other.overflowing)]

    def _encode_alone(self, text: str) -> tokenizers.Encoding:
        if self._calls is not None or type(self).encode_text is not FastTokenizer.encode_text:
            raise UnsupportedError(f"{type(self).__name__} makes no pairs of texts", hint="join the texts into one")
        self._check_unicode(text)
        return self.backend.encode(text, add_special_tokens=False)

    def _joined(self, first: tokenizers.Encoding, second: tokenizers.Encoding, special: bool) -> Row:
        whole = self.backend.post_process(first, second, special)
        return Row(whole.ids, whole.offsets, whole.type_ids, whole.sequence_ids)

    # Files ----------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """Read ``tokenizer.json``, and the tokens that the files beside it add to it."""
        path = source.path(TOKENIZER_FILE, required=False)
        if path is None:
            raise FileMissingError(
                f"{source.location} has no {TOKENIZER_FILE}", value=source.location,
                why=f"{cls.__name__} is read from that file alone",
                hint="AutoTokenizer.from_pretrained(…).save_pretrained(…) of transformers writes one",
            )
        backend = read_tokenizer_json(path)
        options = {**padding_options(backend), **options}
        return cls(backend=with_added_tokens(backend, source), **options)

    @classmethod
    def file_options(cls, source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
        """See the base class.

        Beside a ``tokenizer.json``, whose post-processor says what is put around texts, ``add_bos_token`` and
        ``add_eos_token`` say nothing, as in version 5 of ``transformers``; but for what was saved with
        ``prompt_special_tokens=False``.
        """
        kept = dict(options)
        if kept.get("prompt_special_tokens") is not False and source.path(TOKENIZER_FILE, required=False) is not None:
            for name in ("add_bos_token", "add_eos_token"):
                kept.pop(name, None)
        return kept

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``tokenizer.json``."""
        if self._padding is not None:
            self.backend.enable_padding(**self._padding)
        if self._truncation is not None:
            self.backend.enable_truncation(**self._truncation)
        try:
            text = self.backend.to_str(pretty=True)
        finally:
            self.backend.no_padding()
            self.backend.no_truncation()
        write_text(directory / TOKENIZER_FILE, text)

    def _saved_class(self) -> str:
        read = self._files.fields.get("tokenizer_class")
        own = type(self).__name__
        if own == "FastTokenizer":
            return read if isinstance(read, str) else "PreTrainedTokenizerFast"
        return read if isinstance(read, str) and read.removesuffix("Fast") == own else own

    def _saved_options(self) -> dict[str, Any]:
        options = super()._saved_options()
        if self._calls is None and not self._set_by_user:
            options = {name: options[name] for name in options if name not in ("add_bos_token", "add_eos_token")}
        return options

    # Text and ids ---------------------------------------------------------------------------------------------------

    def encode_text(self, text: str) -> tuple[list[int], list[Span]]:
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
        text = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        if self._files.fields.get("clean_up_tokenization_spaces") and type(self.backend.model).__name__ != "BPE":
            for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(spaced, spaced.strip())
        return text

    def token_to_id(self, token: str) -> int | None:
        """See the base class."""
        return self.backend.token_to_id(token)

    def id_to_token(self, index: int) -> str | None:
        """See the base class."""
        return self.backend.id_to_token(index) if 0 <= index < 2**32 else None

    @property
    def max_id(self) -> int:
        """See the base class."""
        if self._max_id is None:
            self._max_id = max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1)
        return self._max_id

    def __len__(self) -> int:
        """See the base class."""
        return self.backend.get_vocab_size(with_added_tokens=True)


def share_room(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many ids two texts keep so that they have no more than ``room``: the longer is cut first."""
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = max(short, room - short)
    if short + long > room:
        short = room // 2
        long = room - short
    return (short, long) if first <= second else (long, short)


def read_tokenizer_json(path: Path) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``; raise IntegrityError where it is not one."""
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise IntegrityError(f"{path} is not a tokenizer file", value=str(path), why=str(error)) from error


def with_added_tokens(backend: tokenizers.Tokenizer, source: Source) -> tokenizers.Tokenizer:
    """Return a tokenizer with the tokens that the files beside its vocabulary add, at the ids that they say.

    Special tokens that the vocabulary lacks get the ids after its last, as in ``transformers``.

    Raises:
        IntegrityError: Two tokens have one id.
    """
    from tokenizers import AddedToken as BackendToken
    from tokenizers import Tokenizer

    missing = [token for token in read_tokenizer_files(source).tokens if backend.token_to_id(token.content) is None]
    if _leaves_gaps(backend, missing):
        data = json.loads(backend.to_str())
        vocabulary = data["model"]["vocab"]
        taken = {index: text for text, index in backend.get_vocab(with_added_tokens=True).items()}
        for token in missing:
            if token.index is None:
                continue
            if token.index in taken or not isinstance(vocabulary, dict):
                raise IntegrityError(
                    f"{source.location} adds {token.content!r} as {token.index}, which cannot be its id",
                    value=token.content,
                    why=f"that is the id of {taken.get(token.index, 'no token')!r} in the vocabulary",
                )
            vocabulary[token.content] = token.index  # the library itself adds at the end alone
        backend = Tokenizer.from_str(json.dumps(data))
    for token in missing:
        flags = {"normalized": not token.special, **token.flags}
        backend.add_tokens([BackendToken(token.content, special=token.special, **flags)])
    return backend


def _leaves_gaps(backend: tokenizers.Tokenizer, tokens: Sequence[AddedToken]) -> bool:
    size = backend.get_vocab_size(with_added_tokens=True)
    return any(token.index not in (None, size + position) for position, token in enumerate(tokens))


def padding_options(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """Return the padding and truncation options of a ``tokenizer.json``."""
    said: dict[str, Any] = {}
    if backend.padding is not None:
        said["padding_side"] = backend.padding["direction"]
        if backend.token_to_id(backend.padding["pad_token"]) is not None:
            said["pad_token"] = backend.padding["pad_token"]
    if backend.truncation is not None:
        said["truncation_side"] = backend.truncation["direction"]
    return said
