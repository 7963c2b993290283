"""Processors: raw input to model inputs."""

from .base import PretrainedProcessor, TextProcessor
from .image import ImageProcessor
from .pictures import read_picture

__all__ = ["ImageProcessor", "PretrainedProcessor", "TextProcessor", "read_picture"]
