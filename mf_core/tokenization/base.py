"""Tokenizers: text to ids and back, with special tokens, truncation, padding and tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from ..boundary import public
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    ConfigError,
    FileMissingError,
    InputTooLongError,
    check_options,
)
from ..utils.commit import replace_files
from ..utils.files import read_config_file, write_json

if TYPE_CHECKING:
    from ..checkpoint.locate import Checkpoint
    from ..hub import Source

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"

#: Where other libraries' older checkpoints have the special tokens.
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"

#: Longer than any context: what files write for "no limit".
NO_LIMIT = 10**18

Side = Literal["left", "right"]
T = TypeVar("T", bound="PretrainedTokenizer")


class PretrainedTokenizer(ABC):
    """Base of the families' tokenizers.

    A subclass says how text becomes ids and back (``encode_text``, ``decode_ids``, ``token_to_id``, ``id_to_token``,
    ``__len__``), and how its vocabulary is read (``load``) and written (``save_vocabulary``). The rest is here.

    Args:
        bos_token, eos_token, pad_token, unk_token: Special tokens; None where the family has none.
        add_bos_token, add_eos_token: Whether a call puts them around the ids.
        padding_side, truncation_side: Where padding is added, where ids are cut off.
        model_max_length: The model's context in tokens; what ``truncation=True`` cuts to without ``max_length``.
    """

    #: Options that are written to and read from ``tokenizer_config.json``.
    options: ClassVar[tuple[str, ...]] = (
        "bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token", "add_eos_token", "padding_side",
        "truncation_side", "model_max_length",
    )  # fmt: skip

    def __init__(
        self,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        add_bos_token: bool = True,
        add_eos_token: bool = True,
        padding_side: Side = "right",
        truncation_side: Side = "right",
        model_max_length: int = NO_LIMIT,
    ) -> None:
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ConfigError(f"{name}={side!r} is neither 'left' nor 'right'", value=side)
        for name, flag in (("add_bos_token", add_bos_token), ("add_eos_token", add_eos_token)):
            if not isinstance(flag, bool):
                raise ConfigError(f"{name}={flag!r} is neither True nor False", value=flag)
        self.bos_token, self.eos_token, self.pad_token, self.unk_token = bos_token, eos_token, pad_token, unk_token
        self.add_bos_token, self.add_eos_token = add_bos_token, add_eos_token
        self.padding_side, self.truncation_side = padding_side, truncation_side
        if isinstance(model_max_length, bool) or not isinstance(model_max_length, Real) or not model_max_length >= 1:
            raise ConfigError(
                f"model_max_length={model_max_length!r} is not a number of at least 1", value=model_max_length
            )
        self.model_max_length: int = int(min(model_max_length, NO_LIMIT))
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            token = getattr(self, name)
            if token is not None and (not isinstance(token, str) or self.token_to_id(token) is None):
                raise ConfigError(f"{name}={token!r} is not in the vocabulary", value=token)

    # What a family says ---------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def load(cls: type[T], source: Source, **options: Any) -> T:
        """Build from the vocabulary files at ``source``."""

    @abstractmethod
    def save_vocabulary(self, directory: Path) -> None:
        """Write the vocabulary files that ``load`` reads."""

    @abstractmethod
    def encode_text(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
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
        saved = {**read_json(source, _SPECIAL_TOKENS_FILE), **read_json(source, TOKENIZER_CONFIG_FILE)}
        kept = {name: _content(saved[name]) for name in cls.options if name in saved}
        return cls.load(source, **{**kept, **options})

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write the vocabulary and ``tokenizer_config.json`` into ``directory``, which is made if need be."""
        saved = {name: getattr(self, name) for name in self.options}
        with replace_files(directory) as staging:
            self.save_vocabulary(staging)
            write_json(staging / TOKENIZER_CONFIG_FILE, {"tokenizer_class": type(self).__name__, **saved})

    # Use ------------------------------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of entries."""
        return len(self)

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text."""
        return self._special_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text."""
        return self._special_id(self.eos_token)

    @property
    def pad_token_id(self) -> int | None:
        """Id of the padding token."""
        return self._special_id(self.pad_token)

    @property
    def unk_token_id(self) -> int | None:
        """Id of the token for what the vocabulary lacks."""
        return self._special_id(self.unk_token)

    def _special_id(self, token: str | None) -> int | None:
        return None if token is None else self.token_to_id(token)

    @public
    def __call__(
        self,
        text: str | Sequence[str],
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
            add_special_tokens: Put BOS and EOS around the ids, as ``add_bos_token`` and ``add_eos_token`` say.
            padding: ``True`` or ``"longest"``: to the longest of the list; ``"max_length"``: to ``max_length``.
            truncation: Cut to ``max_length`` (default: ``model_max_length``), special tokens included.
            max_length: Number of ids.
            return_tensors: ``"np"`` for numpy int64, ``"ms"`` for MindSpore int32; with a batch dimension always.
            return_offsets_mapping: Add ``offset_mapping``: each id's ``(start, end)`` in characters; ``(0, 0)`` for
                special tokens.

        Returns:
            ``input_ids``, ``token_type_ids`` (zeros) and ``attention_mask`` (0 on padding).

        Raises:
            ArgumentTypeError: ``text`` is neither a string nor a list of strings.
            ArgumentError: The options contradict each other, or rows of unequal length, or none, are to make a tensor.
            InputTooLongError: A text exceeds ``max_length`` and ``truncation`` is off.
        """
        texts = [text] if isinstance(text, str) else self._texts(text)
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
        rows = [self._row(item, add_special_tokens, limit if truncation else None) for item in texts]
        width = max((len(ids) for ids, _ in rows), default=0)
        if limit is not None and width > limit and (padding == "max_length" or max_length is not None):
            raise InputTooLongError(
                f"a text has {width} tokens; max_length is {limit}", value=width, hint="pass truncation=True to cut it"
            )
        if padding:
            width = limit if padding == "max_length" and limit is not None else width
        result = self._padded(rows, width if padding else None, return_offsets_mapping)
        if return_tensors is not None:
            return {name: _tensor(rows, return_tensors) for name, rows in result.items()}
        return {name: rows[0] for name, rows in result.items()} if isinstance(text, str) else result

    @public
    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of one text."""
        return self._row(self._texts([text])[0], add_special_tokens, None)[0]

    @public
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without BOS and EOS. A subclass may do many at once."""
        return [self._row(text, False, None)[0] for text in self._texts(texts)]

    @public
    def decode(self, ids: int | Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of ids (a list, an array or a tensor of one dimension).

        Raises:
            ArgumentError: An id is not in the vocabulary.
        """
        values = _plain_ids(ids)
        for value in values:
            if not 0 <= value < len(self):
                raise ArgumentError(f"id {value} is not in the vocabulary of {len(self)} entries", value=value)
        return self.decode_ids(values, skip_special_tokens)

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

    def _row(self, text: str, special: bool, limit: int | None) -> tuple[list[int], list[tuple[int, int]]]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"the text holds a lone surrogate at character {error.start}, which is no Unicode text",
                value=text[error.start], hint="decode the bytes it came from as UTF-8",
            ) from error
        ids, offsets = self.encode_text(text)
        bos, eos = self.bos_token_id, self.eos_token_id
        before = [bos] if special and self.add_bos_token and bos is not None else []
        after = [eos] if special and self.add_eos_token and eos is not None else []
        if limit is not None:
            room = limit - len(before) - len(after)
            if room < 0:
                raise ArgumentError(f"max_length={limit} leaves no room for the special tokens", value=limit)
            cut = slice(0, room) if self.truncation_side == "right" else slice(max(len(ids) - room, 0), None)
            ids, offsets = ids[cut], offsets[cut]
        return before + ids + after, [(0, 0)] * len(before) + offsets + [(0, 0)] * len(after)

    def _padded(
        self, rows: list[tuple[list[int], list[tuple[int, int]]]], width: int | None, offsets: bool
    ) -> dict[str, list[Any]]:
        result: dict[str, list[Any]] = {"input_ids": [], "token_type_ids": [], "attention_mask": []}
        if offsets:
            result["offset_mapping"] = []
        pad = self.pad_token_id
        for ids, spans in rows:
            missing = 0 if width is None else width - len(ids)
            if missing and pad is None:
                raise ArgumentError("padding needs a pad token", hint="pass pad_token=… to from_pretrained")
            columns: list[tuple[list[Any], Any]] = [
                (ids, pad), ([0] * len(ids), 0), ([1] * len(ids), 0), (spans, (0, 0))
            ]  # fmt: skip
            for name, (column, fill) in zip(result, columns, strict=False):
                padding = [fill] * missing
                result[name].append(padding + column if self.padding_side == "left" else column + padding)
        return result


def read_class_name(source: Source, kind: str) -> str | None:
    """Return the class that a checkpoint's own tokenizer or processor file names, or None."""
    file, key = {
        "tokenizer": (TOKENIZER_CONFIG_FILE, "tokenizer_class"),
        "processor": ("preprocessor_config.json", "processor_class"),
    }[kind]
    name = read_json(source, file).get(key)
    return name.removesuffix("Fast") if isinstance(name, str) else None


def read_json(source: Source, filename: str) -> dict[str, Any]:
    """Return a JSON file's mapping; empty where the source has no such file."""
    path = source.path(filename, required=False)
    return {} if path is None else read_config_file(path)


def _content(value: Any) -> Any:
    """Return a special token's text; files also write it as ``{"content": …}``."""
    return value["content"] if isinstance(value, dict) and "content" in value else value


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


def _tensor(rows: list[Any], kind: str) -> Any:
    import numpy as np

    if not rows:
        raise ArgumentError("an empty list of texts makes no tensor", value=rows)
    if len({len(row) for row in rows}) > 1:
        raise ArgumentError(
            "rows of unequal length make no tensor", value=[len(row) for row in rows], hint="pass padding=True"
        )
    if kind == "np":
        return np.array(rows, dtype=np.int64)
    from ..backends.base import import_mindspore

    return import_mindspore().Tensor(np.array(rows, dtype=np.int32))
