"""Processors: raw input to model inputs."""

from .base import PretrainedProcessor, TextProcessor

__all__ = ["PretrainedProcessor", "TextProcessor"]
