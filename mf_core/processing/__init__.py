"""Processors: raw input to model inputs."""

from .base import PretrainedProcessor, TextProcessor
from .image import ImageProcessor
from .image_text import ImageTextProcessor
from .pictures import read_picture

__all__ = ["ImageProcessor", "ImageTextProcessor", "PretrainedProcessor", "TextProcessor", "read_picture"]
