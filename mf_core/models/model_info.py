"""A model's summary, number of weights and operations per token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mindspore import nn

from ..errors import UnsupportedError
from ..nn.block_quantized import BlockMatrix
from ..nn.layers import Embedding

if TYPE_CHECKING:
    from ..lora import LoraConfig


class ModelInfo(nn.Cell):
    """The part of a model that reports sizes."""

    config: Any
    compute_dtype: str
    name_or_path: str | None
    lora_config: LoraConfig | None
    weight_dtype: str | None

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the model's cache; raises UnsupportedError without a cache."""
        raise UnsupportedError(f"{type(self).__name__} has no key-value cache, so it cannot generate")

    def summary(self) -> str:
        """Return one line: the class, the number of weights, what they are stored and computed in, their source."""
        stored = sorted({str(parameter.dtype).lower() for parameter in self.get_parameters()})
        parts = [f"{self.num_parameters():,} weights in {self.weight_dtype or ', '.join(stored)}"]
        parts += [f"computes in {self.compute_dtype}"] if self.compute_dtype not in stored else []
        parts += [f"LoRA adapters of rank {self.lora_config.r}"] if self.lora_config is not None else []
        parts += [f"from {self.name_or_path}"] if self.name_or_path else []
        return f"{type(self).__name__}: {', '.join(parts)}"

    def __repr__(self) -> str:
        """Return :meth:`summary`, then the tree of cells."""
        return f"{self.summary()}\n{super().__repr__()}"

    def num_parameters(self) -> int:
        """Return the number of weights."""
        blocks = sum(cell.size for _, cell in self.cells_and_names() if isinstance(cell, BlockMatrix))
        return int(blocks + sum(math.prod(parameter.shape) for parameter in self.get_parameters()))

    def flops_per_token(self, length: int) -> int:
        """Return the floating-point operations of training on one token in a row of ``length``.

        2 for each weight of a product forward and 2 for the gradient of its input; 2 more where the weight is trained.
        Rows of embeddings are looked up, and count where a tied head multiplies by them. 12 for each unit of a layer
        and position that attention computes scores of (Chowdhery et al., 2022, appendix B).
        """
        cells = [cell for _, cell in self.cells_and_names() if isinstance(cell, Embedding)]
        # A stage of a pipeline has not the weights of all layers.
        embeddings = {id(cell.weight) for cell in cells if getattr(cell, "weight", None) is not None}
        matrices = [p for p in self.get_parameters() if len(p.shape) > 1 and id(p) not in embeddings]
        vocabulary = int(getattr(self.config, "vocab_size", 0))
        if hasattr(self, "decode") and not any(vocabulary in p.shape for p in matrices):  # the head is tied
            matrices += [p for p in self.get_parameters() if id(p) in embeddings and p.shape[0] == vocabulary]
        products: int = sum((6 if p.requires_grad else 4) * math.prod(p.shape) for p in matrices)
        try:
            layers, heads, width = self.cache_shape
        except UnsupportedError:
            return products
        heads = int(getattr(self.config, "num_heads", heads))  # the cache has fewer, where several read one key
        return products + 12 * layers * heads * width * length

    @property
    def max_positions(self) -> int:
        """The longest sequence in tokens."""
        return int(getattr(self.config, "seq_length", 0))
