"""The base class of models, and what families share. Importing a name from here imports mindspore."""

from .base import PretrainedModel

__all__ = ["PretrainedModel"]
