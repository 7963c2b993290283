"""The processors of CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mf_core.processing import ImageProcessor, ImageTextProcessor


class CLIPImageProcessor(ImageProcessor):
    """Resizes the shorter side to 224 by bicubic interpolation, cuts out the middle, and normalises."""

    defaults: ClassVar[Mapping[str, Any]] = {
        **ImageProcessor.defaults, "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224}, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }  # fmt: skip


class CLIPProcessor(ImageTextProcessor):
    """A tokenizer and an image processor for CLIP."""

    image_processor_class: ClassVar[type[ImageProcessor]] = CLIPImageProcessor
