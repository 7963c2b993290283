"""Layers with quantized weights: less memory to read for each token.

The activations keep their type. ``int8`` weights have one scale for each output, symmetric about 0 (Jacob et al., 2018,
section 2.1): the largest of a row becomes 127. Such layers are made from others, and cannot be trained.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common import np_dtype

from .cells import replace_cell
from .init import activation_dtype
from .kernels import kernel
from .layers import Embedding, Linear

#: ``float32``: as computed; it says of a GGUF file that its blocks are widened.
WeightDtype = Literal["int8", "bfloat16", "float32"]

#: Bytes that a processor reads at a time.
_LINE = 64

#: Rows that are quantised at a time, so that the copy in memory is small.
_ROWS = 1024


class WeightBuffer:
    """Memory for all weights of a model in one array, which the system backs with huge pages, faster to read.

    Args:
        dtype: Type to store them in.
        count: Numbers in all of them.
        arrays: How many they are.
    """

    def __init__(self, dtype: WeightDtype, count: int, arrays: int) -> None:
        self.dtype = np.dtype(np.int8 if dtype == "int8" else np_dtype.bfloat16)
        self._bytes = np.empty(count * self.dtype.itemsize + (arrays + 1) * _LINE, np.uint8)
        self._used = 0

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array aligned to a cache line."""
        start = self._used + -(self._bytes.ctypes.data + self._used) % _LINE
        self._used = start + math.prod(shape) * self.dtype.itemsize
        return self._bytes[start : self._used].view(self.dtype).reshape(shape)


def quantize(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Put ``weight``, ``(N, K)`` of floats, into ``values`` as int8, and return its rows' scales, ``(N,)`` fp32."""
    scales = np.empty(len(weight), np.float32)
    for start in range(0, len(weight), _ROWS):
        rows = weight[start : start + _ROWS].astype(np.float32)
        largest = np.abs(rows).max(axis=1, initial=0.0)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        values[start : start + _ROWS] = np.rint(rows / scale[:, None])
        scales[start : start + _ROWS] = scale
    return scales


class _Quantized(nn.Cell):
    """A weight in fewer bits, ``(N, K)``, and products with it.

    Args:
        weight: In floats, ``(N, K)``.
        name: Of the parameter that it is from now on.
        buffer: Where to hold it.
        bias: ``(N,)``; None: there is none.
        dtype: What products are computed in.
    """

    def __init__(
        self, weight: np.ndarray, name: str, buffer: WeightBuffer, bias: Parameter | None, dtype: mstype.Type
    ) -> None:
        super().__init__()
        values = buffer.array(weight.shape)
        if values.dtype == np.int8:
            scale = quantize(weight, values)
        else:
            values[...] = weight
            scale = np.ones(len(weight), np.float32)
        stored = Parameter(Tensor.from_numpy(values))  # straight on, and named later: MindSpore copies what has a name
        stored.name, stored.requires_grad = name, False
        self.weight = stored
        self.scale = Parameter(
            Tensor(scale), name=f"{name.removesuffix('weight')}weight_scale", requires_grad=False
        )
        self.bias, self.no_bias, self.dtype = bias, Tensor(np.zeros(len(weight), np.float32)), dtype
        self.kernel = kernel("weight_only_linear")
        self.matmul, self.bias_add = ops.MatMul(transpose_b=True), ops.BiasAdd()

    def compute_in(self, dtype: str) -> None:
        """Compute in a type, by its name, from now on; the weight stays as it is."""
        self.dtype = activation_dtype(dtype)

    def product(self, x: Tensor) -> Tensor:
        """``(…, K)`` to ``(…, N)``."""
        shape = (*x.shape[:-1], self.weight.shape[0])
        rows = ops.cast(x, self.dtype).reshape((-1, x.shape[-1]))
        if self.kernel is not None and self.dtype == mstype.float32:
            bias = self.no_bias if self.bias is None else ops.cast(self.bias, self.dtype)
            return self.kernel(rows, self.weight, self.scale, bias).reshape(shape)
        y = self.matmul(rows, ops.cast(self.weight, self.dtype))
        y = y * ops.broadcast_to(ops.cast(self.scale, self.dtype), y.shape)
        if self.bias is not None:
            y = self.bias_add(y, ops.cast(self.bias, self.dtype))
        return y.reshape(shape)


class WeightOnlyLinear(_Quantized):
    """A quantized :class:`mf_core.nn.Linear`; its weight is ``(out, in)``."""

    def __init__(self, base: Linear, buffer: WeightBuffer) -> None:
        weight = base.weight.asnumpy()
        weight = weight if base.outputs_first else weight.T
        super().__init__(weight, base.weight.name, buffer, base.bias, base.dtype)

    def construct(self, x: Tensor) -> Tensor:
        """Return ``(…, out)`` for ``(…, in)``."""
        return self.product(x)


class WeightOnlyEmbedding(_Quantized):
    """A quantized :class:`mf_core.nn.Embedding`."""

    def __init__(self, base: Embedding, buffer: WeightBuffer) -> None:
        super().__init__(base.weight.asnumpy(), base.weight.name, buffer, None, base.dtype)
        self.look_up, self.rows_kernel = ops.Gather(), kernel("weight_only_rows")

    def construct(self, ids: Tensor) -> Tensor:
        """Return ``(…, size)`` for ids ``(…)``."""
        if self.rows_kernel is not None and self.dtype == mstype.float32:
            return self.rows_kernel(ops.cast(ids, mstype.int32), self.weight, self.scale)
        rows = ops.cast(self.look_up(self.weight, ids, 0), self.dtype)
        scale = ops.cast(self.look_up(self.scale, ids, 0), self.dtype)
        return rows * ops.broadcast_to(scale.expand_dims(-1), rows.shape)

    def attend(self, x: Tensor, *, whole: bool = True) -> Tensor:
        """Return the logits ``(…, num)`` in fp32; see :meth:`mf_core.nn.Embedding.attend`."""
        return ops.cast(self.product(x), mstype.float32)


def quantize_weights(model: nn.Cell, weight_dtype: WeightDtype, vocabulary: int) -> None:
    """Quantize the weights of a model's linear layers and token embeddings to ``weight_dtype``.

    Args:
        model: Not used by any graph yet.
        weight_dtype: ``"int8"`` or ``"bfloat16"``.
        vocabulary: Rows of those embeddings that are taken; others (of positions) are small.
    """
    cells = {
        name: cell
        for name, cell in model.cells_and_names()
        if isinstance(cell, Linear) or (isinstance(cell, Embedding) and cell.weight.shape[0] == vocabulary)
    }
    buffer = WeightBuffer(weight_dtype, sum(cell.weight.size for cell in cells.values()), len(cells))
    for name, cell in cells.items():
        replace_cell(model, name, (WeightOnlyLinear if isinstance(cell, Linear) else WeightOnlyEmbedding)(cell, buffer))
