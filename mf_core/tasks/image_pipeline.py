"""What the pipelines share that run a model once over each image.

Shapes: B images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from ..models.base import PretrainedModel
from ..processing import ImageProcessor
from ..tokenization.base import PretrainedTokenizer
from .batched_pipeline import BatchedPipeline


class ImagePipeline(BatchedPipeline):
    """Base of pipelines that run a model once over each image.

    An image is a path, the bytes of a file, a Pillow image or an array; see :func:`mf_core.processing.read_picture`.
    Options of every call, beside that of :class:`~mf_core.tasks.batched_pipeline.BatchedPipeline`:

    * ``allow_remote`` (default False): download images that are given by address.

    Args:
        model: A model with the task's head.
        tokenizer: Not used by tasks that read images alone.
        image_processor: Makes the model's pixel values.
        **options: Defaults of the calls.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    takes: ClassVar[str] = "an image"
    common: ClassVar[tuple[str, ...]] = (*BatchedPipeline.common, "allow_remote")

    def __init__(
        self, model: PretrainedModel, tokenizer: PretrainedTokenizer | None = None, *, image_processor: ImageProcessor,
        **options: Any,
    ) -> None:  # fmt: skip
        self.check(options)
        super().__init__(model, tokenizer, **options)
        self.image_processor = image_processor

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        if options.get("allow_remote", False) not in (True, False):
            raise ArgumentError(f"allow_remote={options['allow_remote']!r} is neither True nor False")

    def is_one(self, inputs: Any) -> bool:
        """See the base class."""
        return not isinstance(inputs, (list, tuple))

    def pixel_values(self, images: Sequence[Any], options: Mapping[str, Any]) -> np.ndarray:
        """Return the pixel values of images, ``(B, C, H, W)`` fp32."""
        remote = bool(options.get("allow_remote", False))
        return np.stack([self.image_processor.pixels(image, allow_remote=remote) for image in images])
