"""Layers whose weights stay in the block formats of GGUF files: they take no more memory than the file.

A backend's kernel ``decoder_pass`` multiplies by them as they are; graphs do not compute them.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype

from ..errors import UnsupportedError

#: Formats that the kernel multiplies by, as :data:`mf_core.nn.decoder_pass.MatrixKind` names them.
FORMATS = ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k")


class BlockMatrix(nn.Cell):
    """The weight of a linear layer, or of an embedding, in a block format.

    Args:
        rows: uint8, ``(out, bytes of a row)``; mapped from a file, and not copied.
        kind: One of :data:`FORMATS`.
        inner: Numbers of a row.
        name: Of the parameter.
        bias: ``(out,)``; None: there is none.

    Attributes:
        rows, kind, inner: As given.
        size: How many numbers the weight has.
    """

    def __init__(self, rows: np.ndarray, kind: str, inner: int, name: str, bias: Parameter | None = None) -> None:
        super().__init__()
        self.rows, self.kind, self.inner, self.bias = rows, kind, inner, bias
        self.dtype, self.size = mstype.float32, len(rows) * inner
        # Of no numbers: the bytes stay where they are mapped, and the parameter says what the layer's is called.
        self.weight = Parameter(Tensor(np.zeros((0,), np.float32)), name=name, requires_grad=False)

    def construct(self, x: Tensor) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError(
            "weights in the blocks of a GGUF file are for generation", value=self.kind,
            hint="from_pretrained(…, weight_dtype='float32') widens them, for logits and for training",
        )


class BlockLinear(BlockMatrix):
    """Replaces a :class:`mf_core.nn.Linear`."""


class BlockEmbedding(BlockMatrix):
    """Replaces a :class:`mf_core.nn.Embedding`."""
