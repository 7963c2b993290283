"""Processors of models that read images and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ..boundary import public
from ..checkpoint.locate import Checkpoint
from ..errors import ArgumentError, ArgumentTypeError, check_options
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.resolve import tokenizer_of
from ..utils.commit import replace_files
from ..utils.files import write_json
from .base import PROCESSOR_CONFIG_FILE, PretrainedProcessor
from .image import ImageProcessor

T = TypeVar("T", bound="ImageTextProcessor")


class ImageTextProcessor(PretrainedProcessor):
    """A tokenizer and an image processor.

    Args:
        tokenizer: The tokenizer.
        image_processor: The image processor.
        return_tensors: ``"ms"``, ``"np"`` or None for lists.

    Class attributes:
        image_processor_class: Class of the family's image processor.
    """

    options: ClassVar[tuple[str, ...]] = ("return_tensors",)
    image_processor_class: ClassVar[type[ImageProcessor]] = ImageProcessor

    def __init__(
        self, tokenizer: PretrainedTokenizer, image_processor: ImageProcessor,
        return_tensors: Literal["np", "ms"] | None = "ms",
    ) -> None:  # fmt: skip
        for value, wanted in ((tokenizer, PretrainedTokenizer), (image_processor, ImageProcessor)):
            if not isinstance(value, wanted):
                raise ArgumentTypeError(
                    f"{type(self).__name__} takes a {wanted.__name__}, not {type(value).__name__}", value=value,
                    hint=f"{type(self).__name__}.from_pretrained(name_or_path) has a checkpoint's",
                )  # fmt: skip
        if return_tensors not in (None, "np", "ms"):
            raise ArgumentError(
                f"return_tensors={return_tensors!r} is not one of None, 'np', 'ms'", value=return_tensors
            )
        self.tokenizer, self.image_processor, self.return_tensors = tokenizer, image_processor, return_tensors
        image_processor.return_tensors = return_tensors

    def __call__(self, text: Any = None, images: Any = None) -> dict[str, Any]:
        """Return the model's input of texts, of images, or of both.

        Args:
            text: A text or a list of them: ``input_ids`` and ``attention_mask``, ``(n, S)``, padded to the longest.
            images: An image or a list of them: ``pixel_values``, ``(m, C, H, W)``; see
                :func:`mf_core.processing.read_picture`.

        Raises:
            ArgumentError: Neither is given.
        """
        if text is None and images is None:
            raise ArgumentError(f"{type(self).__name__} was given neither text nor images")
        found: dict[str, Any] = {}
        if text is not None:
            texts = [text] if isinstance(text, str) else text
            rows = self.tokenizer(texts, padding=True, truncation=True, return_tensors=self.return_tensors)
            found.update({name: rows[name] for name in ("input_ids", "attention_mask")})
        if images is not None:
            found.update(self.image_processor(images))
        return found

    @classmethod
    @public
    def from_checkpoint(cls: type[T], checkpoint: Checkpoint, **options: Any) -> T:
        """Return the processor of a checkpoint that has been located."""
        check_options(options, ("tokenizer", "image_processor", *cls.options), cls.__name__, "option")
        tokenizer, images = options.pop("tokenizer", None), options.pop("image_processor", None)
        return cls(
            tokenizer_of(checkpoint) if tokenizer is None else tokenizer,
            cls.image_processor_class.from_checkpoint(checkpoint) if images is None else images, **options,
        )  # fmt: skip

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``preprocessor_config.json`` and the tokenizer into ``directory``, created if missing."""
        with replace_files(directory) as staging:
            self.tokenizer.save_pretrained(staging)
            settings = {**self.image_processor.to_dict(), "processor_class": type(self).__name__}
            write_json(staging / PROCESSOR_CONFIG_FILE, settings)
