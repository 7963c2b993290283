"""Tokenizers: text to ids and back, with special tokens, truncation, padding and tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from ..boundary import public
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    ConfigError,
    FileMissingError,
    InputTooLongError,
    UnsupportedError,
    check_options,
)
from ..utils.commit import replace_files
from .chat import ChatTemplates, check_templates
from .decoding import Decoding
from .files import (
    NO_LIMIT,
    SPECIAL_TOKENS,
    TOKENIZER_FILES,
    TokenizerFiles,
    read_tokenizer_files,
    write_chat_templates,
    write_tokenizer_files,
)
from .rows import Row, Side, Span, as_tensor, pad_rows

if TYPE_CHECKING:
    from ..checkpoint.locate import Checkpoint
    from ..hub import Source

T = TypeVar("T", bound="PretrainedTokenizer")


class PretrainedTokenizer(Decoding, ChatTemplates, ABC):
    """Base of the families' tokenizers.

    A subclass says how text becomes ids and back (``encode_text``, ``decode_ids``, ``token_to_id``, ``id_to_token``,
    ``__len__``), and how its vocabulary is read (``load``) and written (``save_vocabulary``). The rest is here.

    Args:
        bos_token, eos_token, pad_token, unk_token, sep_token, cls_token, mask_token: Special tokens; None where there
            are none.
        extra_special_tokens: Further ones.
        add_bos_token, add_eos_token: Whether a call puts them around the ids. None: as the class does.
        prompt_special_tokens: Whether the prompts of pipelines get the special tokens that calls get. None: as the
            class does.
        padding_side, truncation_side: Where padding is added, where ids are cut off.
        model_max_length: The model's context in tokens; what ``truncation=True`` cuts to without ``max_length``.
        chat_template: The template of :meth:`apply_chat_template`, or several by name.

    Class attributes:
        options: Options that are written to and read from ``tokenizer_config.json``.
        preset_options: Those that the family's presets have whatever their files say.

    Attributes:
        source: Where it was read from; None if it was not.
    """

    options: ClassVar[tuple[str, ...]] = (
        *SPECIAL_TOKENS, "extra_special_tokens", "add_bos_token", "add_eos_token", "prompt_special_tokens",
        "padding_side", "truncation_side", "model_max_length", "chat_template",
    )  # fmt: skip
    preset_options: ClassVar[Mapping[str, Any]] = {}

    source: str | None = None
    _files: TokenizerFiles = TokenizerFiles()
    _prompts_by_default: ClassVar[bool] = False

    def __init__(
        self,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        sep_token: str | None = None,
        cls_token: str | None = None,
        mask_token: str | None = None,
        extra_special_tokens: Sequence[str] = (),
        add_bos_token: bool | None = None,
        add_eos_token: bool | None = None,
        prompt_special_tokens: bool | None = None,
        padding_side: Side = "right",
        truncation_side: Side = "right",
        model_max_length: float | None = None,
        chat_template: str | Mapping[str, str] | None = None,
    ) -> None:
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ConfigError(f"{name}={side!r} is neither 'left' nor 'right'", value=side)
        flags = {
            "add_bos_token": add_bos_token, "add_eos_token": add_eos_token,
            "prompt_special_tokens": prompt_special_tokens,
        }  # fmt: skip
        for name, flag in flags.items():
            if flag is not None and not isinstance(flag, bool):
                raise ConfigError(f"{name}={flag!r} is neither True nor False", value=flag)
        self.bos_token, self.eos_token, self.pad_token, self.unk_token = bos_token, eos_token, pad_token, unk_token
        self.sep_token, self.cls_token, self.mask_token = sep_token, cls_token, mask_token
        self.extra_special_tokens = list(extra_special_tokens)
        self.padding_side, self.truncation_side = padding_side, truncation_side
        limit = NO_LIMIT if model_max_length is None else model_max_length
        if isinstance(limit, bool) or not isinstance(limit, Real) or not limit >= 1:
            raise ConfigError(
                f"model_max_length={model_max_length!r} is not a number of at least 1", value=model_max_length
            )
        self.model_max_length: int = int(min(limit, NO_LIMIT))
        self.chat_template = check_templates(chat_template)
        for name in SPECIAL_TOKENS:
            self._check_token(name, getattr(self, name))
        for token in self.extra_special_tokens:
            self._check_token("a token of extra_special_tokens", token)
        self._set_special(**flags)

    def __repr__(self) -> str:
        named = [f"{name}={token!r}" for name in SPECIAL_TOKENS if (token := getattr(self, name)) is not None]
        parts = [
            *([repr(self.source)] if self.source else []), f"vocab_size={len(self)}", *named,
            *([f"extra_special_tokens={self.extra_special_tokens!r:.80}"] if self.extra_special_tokens else []),
            f"chat_template={'yes' if self.chat_template else 'no'}",
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join(parts)})"

    # What a family says ---------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """Build from the vocabulary files at ``source``."""

    @abstractmethod
    def save_vocabulary(self, directory: Path) -> None:
        """Write the vocabulary files that ``load`` reads."""

    @abstractmethod
    def encode_text(self, text: str) -> tuple[list[int], list[Span]]:
        """Return the ids of ``text`` without BOS and EOS, and each one's ``(start, end)`` in characters."""

    @abstractmethod
    def decode_ids(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        """Return the text of ``ids``."""

    @abstractmethod
    def token_to_id(self, token: str) -> int | None:
        """Return a token's id, or None."""

    @abstractmethod
    def id_to_token(self, index: int) -> str | None:
        """Return the token of an id, or None."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of entries, added tokens included."""

    # Reading and writing --------------------------------------------------------------------------------------------

    @classmethod
    @public
    def from_pretrained(cls: type[T], name_or_path: str | Path, *, revision: str | None = None, **options: Any) -> T:
        """Return the tokenizer of a preset, directory or hub repository; ``options`` are the constructor's."""
        from ..checkpoint.locate import locate

        return cls.from_checkpoint(locate(name_or_path, revision), **options)

    @classmethod
    @public
    def from_checkpoint(cls: type[T], checkpoint: Checkpoint, **options: Any) -> T:
        """Return the tokenizer of a checkpoint that has been located."""
        check_options(options, cls.options, cls.__name__, "option")
        if checkpoint.tokenizer is None:
            raise FileMissingError(
                f"{checkpoint.name!r} has no vocabulary", value=checkpoint.name, why=checkpoint.note or None,
                hint="name a preset, a directory or a hub repository that has the tokenizer's files",
            )
        source = checkpoint.tokenizer
        files = read_tokenizer_files(source)
        own = [name for name in cls.options if name not in PretrainedTokenizer.options]
        said = {**files.options, **{name: files.fields[name] for name in own if files.fields.get(name) is not None}}
        preset = {} if checkpoint.owner is None else cls.preset_options
        tokenizer = cls.load(source, **{**cls.file_options(source, said), **preset, **options})
        tokenizer.source, tokenizer._files = checkpoint.name, files
        return tokenizer

    @classmethod
    def file_options(cls, source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the options in a checkpoint's files that hold for the class."""
        return dict(options)

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write the vocabulary, ``tokenizer_config.json`` and the chat templates into ``directory``.

        The directory is created if missing. What the files that the tokenizer was read from hold beyond the options is
        written back.
        """
        usual: dict[str, Any] = {
            "sep_token": None, "cls_token": None, "mask_token": None, "extra_special_tokens": [],
            "padding_side": "right", "truncation_side": "right", "model_max_length": NO_LIMIT,
            "prompt_special_tokens": self._prompts_by_default,
        }  # fmt: skip
        with replace_files(directory, stale=TOKENIZER_FILES) as staging:
            self.save_vocabulary(staging)
            write_tokenizer_files(staging, self._files, self._saved_class(), self._saved_options(), usual)
            write_chat_templates(staging, self.chat_template)

    def _saved_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.options if name != "chat_template"}

    def _saved_class(self) -> str:
        return type(self).__name__

    # Use ------------------------------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of entries."""
        return len(self)

    @public
    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | Literal["max_length", "longest"] = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Literal["np", "ms"] | None = None,
        return_offsets_mapping: bool = False,
    ) -> dict[str, Any]:
        """Return the model's input for a text or a list of texts.

        Args:
            text: One text, which gives flat lists, or several, which give a list of lists.
            text_pair: A second text to go with it, or one for each of several; ``token_type_ids`` is 1 for it where the
                family tells the two apart. ``truncation=True`` then cuts the longer of the two.
            add_special_tokens: Put BOS and EOS around the ids, as ``add_bos_token`` and ``add_eos_token`` say.
            padding: ``True`` or ``"longest"``: to the longest of the list; ``"max_length"``: to ``max_length``.
            truncation: Cut to ``max_length`` (default: ``model_max_length``), special tokens included.
            max_length: Number of ids.
            return_tensors: ``"np"`` for numpy int64, ``"ms"`` for MindSpore int32; with a batch dimension always.
            return_offsets_mapping: Add ``offset_mapping``: each id's ``(start, end)`` in characters; ``(0, 0)`` for
                special tokens.

        Returns:
            ``input_ids``, ``token_type_ids`` (zeros, but for pairs) and ``attention_mask`` (0 on padding).

        Raises:
            ArgumentTypeError: ``text`` is neither a string nor a list of strings.
            UnsupportedError: The tokenizer makes no pairs.
            ArgumentError: The options contradict each other, or rows of unequal length, or none, are to make a tensor.
            InputTooLongError: A text exceeds ``max_length`` and ``truncation`` is off.
        """
        texts = [text] if isinstance(text, str) else self._texts(text)
        pairs = None if text_pair is None else self._pairs(text, text_pair)
        if return_tensors not in (None, "np", "ms"):
            raise ArgumentError(
                f"return_tensors={return_tensors!r} is not one of None, 'np', 'ms'", value=return_tensors
            )
        if padding not in (True, False, "longest", "max_length"):
            raise ArgumentError(
                f"padding={padding!r} is not one of True, False, 'longest', 'max_length'", value=padding
            )
        if truncation not in (True, False):
            raise ArgumentError(
                f"truncation={truncation!r} is neither True nor False", value=truncation,
                hint="texts are cut to max_length on the tokenizer's truncation_side",
            )
        limit = self._limit(max_length, truncation, padding)
        room = limit if truncation else None
        if pairs is None:
            rows = [self._row(item, add_special_tokens, room) for item in texts]
        else:
            rows = [self.encode_pair(*both, add_special_tokens, room) for both in zip(texts, pairs, strict=True)]
        width = max((len(row.ids) for row in rows), default=0)
        if limit is not None and width > limit and (padding == "max_length" or max_length is not None):
            raise InputTooLongError(
                f"a text has {width} tokens; max_length is {limit}", value=width, hint="pass truncation=True to cut it"
            )
        if padding:
            width = limit if padding == "max_length" and limit is not None else width
        width_or_none = width if padding else None
        result = pad_rows(rows, width_or_none, self.pad_token_id, self.padding_side, offsets=return_offsets_mapping)
        if return_tensors is not None:
            return {name: as_tensor(column, return_tensors) for name, column in result.items()}
        return {name: column[0] for name, column in result.items()} if isinstance(text, str) else result

    def _pairs(self, text: str | Sequence[str], second: str | Sequence[str]) -> list[str]:
        """Return the second texts; raise where they are not as many as the first."""
        if isinstance(text, str) != isinstance(second, str):
            raise ArgumentTypeError("text and text_pair are two strings, or two lists of them", value=second)
        pairs = self._texts([second] if isinstance(second, str) else second)
        if not isinstance(text, str) and len(pairs) != len(text):
            raise ArgumentError(f"{len(text)} texts have {len(pairs)} in text_pair", value=len(pairs))
        return pairs

    def encode_row(
        self, text: str, second: str | None = None, *, special: bool = True, limit: int | None = None
    ) -> Row:  # fmt: skip
        """Return the ids of a text, or of two in one row, with spans and segments.

        Args:
            text, second: The texts; None: there is one.
            special: Whether to put special tokens around them.
            limit: Most ids; None: texts are not cut.
        """
        if second is None:
            return self._row(text, special, limit)
        return self.encode_pair(text, second, special, limit)

    def encode_pair(self, text: str, second: str, special: bool, limit: int | None) -> Row:
        """Return the ids of two texts in one row.

        Args:
            text, second: The texts.
            special: Whether to put special tokens around them.
            limit: Most ids; the longer text is cut. None: they are not cut.

        Raises:
            UnsupportedError: The tokenizer makes no pairs.
        """
        raise UnsupportedError(f"{type(self).__name__} makes no pairs of texts", hint="join the texts into one")

    @public
    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of one text."""
        return self._row(self._texts([text])[0], add_special_tokens, None).ids

    @public
    def encode_prompt(self, text: str) -> list[int]:
        """Return the ids of a prompt that a model is to continue; ``prompt_special_tokens`` says with what around."""
        return self.encode(text, add_special_tokens=self.prompt_special_tokens)

    @public
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without BOS and EOS. A subclass may do many at once."""
        return [self._row(text, False, None).ids for text in self._texts(texts)]

    def _limit(self, max_length: int | None, truncation: bool, padding: bool | str) -> int | None:
        if max_length is None:
            limit = self.model_max_length if self.model_max_length < NO_LIMIT else None
            if limit is None and padding == "max_length":
                raise ArgumentError("padding='max_length' needs max_length", value=padding)
            return limit if truncation or padding == "max_length" else None
        if not isinstance(max_length, int) or isinstance(max_length, bool) or max_length < 1:
            raise ArgumentError(f"max_length={max_length!r} is not a whole number of at least 1", value=max_length)
        return max_length

    def _texts(self, text: Any) -> list[str]:
        if not isinstance(text, (list, tuple)):
            raise ArgumentTypeError(f"a text is a string or a list of strings, not {type(text).__name__}", value=text)
        for item in text:
            if not isinstance(item, str):
                raise ArgumentTypeError(f"a text is a string, not {type(item).__name__}: {item!r}", value=item)
        return list(text)

    def _row(self, text: str, special: bool, limit: int | None) -> Row:
        self._check_unicode(text)
        return self._encode(text, special, limit)

    @staticmethod
    def _check_unicode(text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"the text holds a lone surrogate at character {error.start}, which is no Unicode text",
                value=text[error.start], hint="decode the bytes it came from as UTF-8",
            ) from error

    def _encode(self, text: str, special: bool, limit: int | None) -> Row:
        before, after = self.special_ids() if special else ([], [])
        ids, spans = self.encode_text(text)
        if limit is not None:
            limit = self._text_limit(limit, len(before) + len(after))
            cut = slice(0, limit) if self.truncation_side == "right" else slice(max(len(ids) - limit, 0), None)
            ids, spans = ids[cut], spans[cut]
        return Row(before + ids + after, [(0, 0)] * len(before) + spans + [(0, 0)] * len(after))

    @staticmethod
    def _text_limit(limit: int, special: int) -> int:
        if limit < special:
            raise ArgumentError(f"max_length={limit} leaves no room for the special tokens", value=limit)
        return limit - special
