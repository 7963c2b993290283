"""Processors: raw input to model inputs. Those of images, which need numpy, are imported at their first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .base import PretrainedProcessor, TextProcessor

if TYPE_CHECKING:
    from .image import ImageProcessor as ImageProcessor
    from .image_text import ImageTextProcessor as ImageTextProcessor
    from .pictures import read_picture as read_picture

#: Public name -> the module that defines it.
_MODULES = {"ImageProcessor": "image", "ImageTextProcessor": "image_text", "read_picture": "pictures"}

__all__ = ["ImageProcessor", "ImageTextProcessor", "PretrainedProcessor", "TextProcessor", "read_picture"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
