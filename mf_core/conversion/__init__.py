"""Checkpoints of other layouts made into ``config.json`` and safetensors: what a family's converter is made of."""

from .converter import Converter, SourceTensor, npy_tensor
from .mindspore_file import is_mindspore_file, is_training_state, read_mindspore_file
from .run import Conversion, plan_conversion
from .slices import SlicedCheckpoint, read_layouts

__all__ = [
    "Conversion",
    "Converter",
    "SlicedCheckpoint",
    "SourceTensor",
    "is_mindspore_file",
    "is_training_state",
    "npy_tensor",
    "plan_conversion",
    "read_layouts",
    "read_mindspore_file",
]
