"""Loading a GGUF file's weights: kept in blocks where the backend has kernels for them, dequantized elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Tensor, nn

from ...errors import WeightsError
from ...hub import Source
from ...nn.block_quantized import FORMATS, BlockEmbedding, BlockLinear
from ...nn.layers import Embedding, Linear
from ..safetensors_reader import stored_weights
from .source import GGUFSource
from .tensors import MappedTensor, map_tensors


def tensor_shapes(source: Source) -> list[tuple[int, ...]]:
    """Return the shapes of the tensors at a source, whatever its format."""
    if isinstance(source, GGUFSource):
        return [tensor.shape for tensor in source.header.tensors.values()]
    return [tensor.shape for tensor in stored_weights(source).values()]


def load_gguf(model: nn.Cell, source: GGUFSource, *, keep_blocks: bool) -> str | None:
    """Load a file's weights into a model that has not been used yet.

    Args:
        model: Its parameters' names are those of Hugging Face's checkpoints.
        source: The file.
        keep_blocks: Whether linear layers and embeddings that the file has in a block format stay in it.

    Returns:
        The format that most of the layers have that stay in one; None: there are none.

    Raises:
        WeightsError: A tensor is missing, left over or of another shape.
    """
    parameters = dict(model.parameters_and_names())
    every = dict(model.cells_and_names())
    cells: dict[str, tuple[str, Any]] = {
        f"{name}.weight": (name, cell) for name, cell in every.items() if type(cell) in (Linear, Embedding)
    }
    kept: dict[str, int] = {}
    mapped = map_tensors(source.header, source.config, parameters)
    for tensor in mapped:
        check_shape(tensor, tuple(parameters[tensor.name].shape))
    for tensor in mapped:
        kind = tensor.stored.kind.name.lower()
        name, cell = cells.get(tensor.name, ("", None))
        outputs_first = cell is not None and (type(cell) is Embedding or cell.outputs_first)
        if keep_blocks and outputs_first and kind in FORMATS and tensor.keeps_rows:
            new = BlockLinear if type(cell) is Linear else BlockEmbedding
            bias = getattr(cell, "bias", None)
            parent, _, child = name.rpartition(".")
            made = new(tensor.rows(), kind, tensor.shape[-1], cell.weight.name, bias)
            every[parent].insert_child_to_cell(child, made)  # unlike an assignment, this renames no parameter
            kept[kind] = kept.get(kind, 0) + tensor.stored.nbytes
            continue
        values = np.require(tensor.read(), np.float32, ["C", "A"])
        parameters[tensor.name].set_data(Tensor.from_numpy(values.astype(_numpy_type(parameters[tensor.name]))))
    return max(kept, key=lambda kind: kept[kind]) if kept else None


def _numpy_type(parameter: Any) -> Any:
    return np.float16 if str(parameter.dtype).lower() == "float16" else np.float32


def check_shape(tensor: MappedTensor, wanted: tuple[int, ...]) -> None:
    """Raise WeightsError unless a tensor has the shape that a model wants."""
    if tensor.shape != wanted:
        raise WeightsError(
            f"{tensor.stored.name!r} in {tensor.stored.path.name} is {tensor.stored.kind.name} {tensor.shape}; "
            f"the model wants {wanted} for {tensor.name!r}", value=tensor.name,
            hint="the file may be of another model or damaged",
        )  # fmt: skip
