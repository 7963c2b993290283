"""The image processor of a run: the one that is given, a checkpoint's, or a family's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint.locate import Checkpoint, locate
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..plugins.registry import registry
from ..tokenization.resolve import find_class
from .base import PretrainedProcessor
from .image import ImageProcessor

if TYPE_CHECKING:
    from ..config import PretrainedConfig


def image_processor_of(checkpoint: Checkpoint, **options: Any) -> ImageProcessor:
    """Return the image processor of a checkpoint that has been located, which may be a part of its processor."""
    return _image_class(find_class("processor", PretrainedProcessor, checkpoint).load()).from_checkpoint(
        checkpoint, **options
    )


def image_processor_for(
    given: Any, checkpoint: Checkpoint | None, task: str, config: PretrainedConfig | None = None
) -> ImageProcessor:
    """Return the image processor that a task needs.

    Args:
        given: A name, a path, or an object, as the user gave it; None: the checkpoint's.
        checkpoint: Of the model; None: the family's processor serves, for the size of the model's images.
        task: The task's name, for messages.
        config: The model's configuration; None: without a checkpoint, the processor has to be given.
    """
    if isinstance(given, ImageProcessor):
        return given
    if isinstance(given, (str, Path)):
        return image_processor_of(locate(given))
    if given is not None:
        own = getattr(given, "image_processor", None)
        if isinstance(own, ImageProcessor):
            return own
        raise ArgumentTypeError(f"image_processor is a {type(given).__name__}, and no image processor", value=given)
    if checkpoint is not None:
        return image_processor_of(checkpoint)
    size = getattr(config, "image_shape", None)
    if config is None or size is None or getattr(config, "checkpoint_name_or_path", None):
        raise ArgumentError(
            f"a model object does not say which image processor it needs for {task!r}",
            hint="pass image_processor=AutoImageProcessor.from_pretrained(…)",
        )
    cls = _image_class(registry.find("processor", config.model_type).load())
    return cls(size={"height": size[0], "width": size[1]})


def _image_class(found: Any) -> type[ImageProcessor]:
    cls: type[ImageProcessor] = getattr(found, "image_processor_class", found)
    if not issubclass(cls, ImageProcessor):
        raise UnsupportedError(f"{found.__name__} reads no images", value=found)
    return cls
