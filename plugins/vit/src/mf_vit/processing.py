"""The image processor of ViT and its relatives."""

from __future__ import annotations

from mf_core.processing import ImageProcessor


class ViTImageProcessor(ImageProcessor):
    """Resizes to 224 x 224, and rescales and normalises to -1 to 1, unless ``preprocessor_config.json`` differs."""
