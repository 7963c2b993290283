"""A GGUF file into a directory that ``transformers`` reads: its weights dequantized, its tokenizer beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.base import load_class
from ..checkpoint.gguf.header import StoredTensor
from ..checkpoint.gguf.load import check_shape, tensor_shapes
from ..checkpoint.gguf.source import GGUFSource
from ..checkpoint.gguf.tensors import MappedTensor, map_tensors
from ..checkpoint.gguf.tokenizer import tokenizer_files
from ..checkpoint.shards import LazyTensor, cast
from ..nn.init import Budget
from ..plugins.registry import registry
from .run import Conversion, parameter_shapes


def plan_gguf_conversion(
    path: Path, *, dtype: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Conversion:
    """Check that a GGUF file's tensors fit the model that it says it is of; no weight is read.

    Args:
        path: The file.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"`` for all weights; None: fp16 stays, all else becomes fp32.
        overrides: Fields of the configuration to change.

    Raises:
        FileMissingError, IntegrityError, UnsupportedError: As where the file is loaded.
        WeightsError: A tensor is missing, left over or of another shape.
    """
    source = GGUFSource(str(path), path)
    model_class = load_class(registry.find("model:base", str(source.config["model_type"])))
    config = model_class.config_class.from_dict(source.config, **(overrides or {}))
    budget = Budget.of(tensor_shapes(source), source.location)
    shapes = parameter_shapes(model_class, config, budget)
    mapped = map_tensors(source.header, source.config, shapes)
    for tensor in mapped:
        check_shape(tensor, shapes[tensor.name])
    return Conversion(
        path, f"a GGUF file of {source.header.architecture}", config, model_class.__name__,
        tuple(_lazy(tensor, dtype) for tensor in mapped), files=tokenizer_files(source.header),
    )  # fmt: skip


def _lazy(tensor: MappedTensor, dtype: str | None) -> LazyTensor:
    saved = dtype or _saved_as(tensor.stored)

    def read() -> np.ndarray:
        return np.ascontiguousarray(cast(tensor.read(), saved, tensor.name, "save it as float32"))

    return LazyTensor(tensor.name, tensor.shape, saved, read)


def _saved_as(stored: StoredTensor) -> str:
    return "float16" if stored.kind.name == "F16" else "float32"
