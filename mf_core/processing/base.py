"""Processors: raw input to what a model takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ..boundary import public
from ..checkpoint.locate import Checkpoint, locate
from ..errors import ArgumentError, ArgumentTypeError, check_options
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.files import read_json
from ..tokenization.resolve import tokenizer_of
from ..utils.commit import replace_files
from ..utils.files import write_json

PROCESSOR_CONFIG_FILE = "preprocessor_config.json"

P = TypeVar("P", bound="PretrainedProcessor")


class PretrainedProcessor(ABC):
    """Base of the families' processors.

    Args:
        tokenizer: The tokenizer; None takes ``default_tokenizer``'s.
        max_length: Number of ids in a row: longer texts are cut, shorter ones padded.
        return_tensors: ``"ms"``, ``"np"`` or None for lists.

    Raises:
        ArgumentError, ArgumentTypeError: An argument is out of range or of the wrong type.
    """

    options: ClassVar[tuple[str, ...]] = ("max_length", "return_tensors")

    #: Checkpoint whose tokenizer is used when none is given.
    default_tokenizer: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = public(cls.__call__)  # type: ignore[method-assign]

    def __init__(
        self,
        tokenizer: PretrainedTokenizer | None = None,
        max_length: int = 128,
        return_tensors: Literal["np", "ms"] | None = "ms",
    ) -> None:
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
            raise ArgumentError(f"max_length={max_length!r} is not a whole number of at least 1", value=max_length)
        if return_tensors not in (None, "np", "ms"):
            raise ArgumentError(
                f"return_tensors={return_tensors!r} is not one of None, 'np', 'ms'", value=return_tensors
            )
        if tokenizer is None:
            tokenizer = tokenizer_of(locate(self.default_tokenizer))
        if not isinstance(tokenizer, PretrainedTokenizer):
            raise ArgumentTypeError(
                f"{type(self).__name__} takes a tokenizer, not {type(tokenizer).__name__}", value=tokenizer,
                hint=f"{type(self).__name__}.from_pretrained(name_or_path) has a checkpoint's",
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.return_tensors = return_tensors

    @abstractmethod
    def __call__(self, text: Any) -> dict[str, Any]:
        """Return the model's input."""

    @classmethod
    @public
    def from_pretrained(cls: type[P], name_or_path: str | Path, *, revision: str | None = None, **options: Any) -> P:
        """Return the processor of a preset, directory or hub repository; ``options`` are the constructor's."""
        return cls.from_checkpoint(locate(name_or_path, revision), **options)

    @classmethod
    @public
    def from_checkpoint(cls: type[P], checkpoint: Checkpoint, **options: Any) -> P:
        """Return the processor of a checkpoint that has been located."""
        check_options(options, ("tokenizer", *cls.options), cls.__name__, "option")
        saved = read_json(checkpoint.tokenizer, PROCESSOR_CONFIG_FILE) if checkpoint.tokenizer is not None else {}
        kept = {name: saved[name] for name in cls.options if name in saved}
        tokenizer = options.pop("tokenizer", None)
        if tokenizer is None:
            tokenizer = tokenizer_of(checkpoint)
        return cls(tokenizer=tokenizer, **{**kept, **options})

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``preprocessor_config.json`` and the tokenizer into ``directory``, created if missing."""
        saved = {name: getattr(self, name) for name in self.options}
        with replace_files(directory) as staging:
            self.tokenizer.save_pretrained(staging)
            write_json(staging / PROCESSOR_CONFIG_FILE, {"processor_class": type(self).__name__, **saved})


class TextProcessor(PretrainedProcessor):
    """One text or a list of them, as rows of ``max_length`` ids."""

    def __call__(self, text: str | list[str]) -> dict[str, Any]:
        """Return ``{"text": ids}``, ids being ``(1 or len(text), max_length)``: int32, or int64 for numpy."""
        rows = self.tokenizer(
            [text] if isinstance(text, str) else text,
            padding="max_length", truncation=True, max_length=self.max_length, return_tensors=self.return_tensors,
        )  # fmt: skip
        return {"text": rows["input_ids"]}
