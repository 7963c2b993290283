"""A linear layer with its pair of small matrices."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..nn import Dropout, Linear, Operators, dropout_operators
from ..nn.init import initializing
from .config import LoraConfig


class LoraLinear(Linear):
    """``x @ weight + bias + scaling * (dropout(x) @ A.T) @ B.T`` (Hu et al., 2021, section 4.1).

    ``lora_A``, ``(r, in)``, begins Kaiming-uniform with a = sqrt(5), from numpy's global generator; ``lora_B``,
    ``(out, r)``, at 0, so that the layer begins as the one it is made from. Both are fp32.

    Args:
        base: The layer whose weight and bias these are from now on. It is kept, and is not changed.
        config: Rank, scaling, dropout.
    """

    operators: ClassVar[Operators] = {
        **Linear.operators,
        **{f"lora_dropout.{name}": axes for name, axes in dropout_operators("rows - in").items()},
        "down": ("tokens in", "- in"),
        "up": ("tokens -", "out -"),
        "scaled": ("tokens out", ""),
        "add": ("rows - out", "rows - out"),
    }

    def __init__(self, base: Linear, config: LoraConfig) -> None:
        nn.Cell.__init__(self)
        self.in_features, self.out_features, self.dtype = base.in_features, base.out_features, base.dtype
        self.outputs_first = base.outputs_first
        self.role, self.fused = base.role, base.fused
        self.compute_dtype, self.kernel = base.compute_dtype, base.kernel
        self.weight, self.bias = base.weight, base.bias
        self.enter, self.leave = base.enter, base.leave
        stem = base.weight.name.removesuffix("weight")
        bound = 1.0 / math.sqrt(base.in_features)  # sqrt(6 / ((1 + a^2) in)) with a = sqrt(5)
        shape = (config.r, base.in_features)
        first = np.random.uniform(-bound, bound, shape) if initializing() else np.zeros(shape)
        self.lora_A = Parameter(Tensor(first.astype(np.float32)), name=f"{stem}lora_A")
        self.lora_B = Parameter(Tensor(np.zeros((base.out_features, config.r), np.float32)), name=f"{stem}lora_B")
        self.lora_dropout = Dropout(config.lora_dropout)
        self.scaling = config.scaling
        self.__dict__["base"] = base  # past the cell's own attributes, which would count its weights twice
        self.make_operators()
        self.set_train(base.training)

    def make_operators(self) -> None:
        """See the base class."""
        super().make_operators()
        self.down, self.up = ops.MatMul(transpose_b=True), ops.MatMul(transpose_b=True)
        self.scaled, self.add = ops.Mul(), ops.Add()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``(…, out)`` for ``(…, in)``."""
        rows = self.lora_dropout(ops.cast(x, self.dtype)).reshape((-1, self.in_features))
        inner = self.down(rows, ops.cast(self.lora_A, self.dtype))
        delta = self.scaled(self.up(inner, ops.cast(self.lora_B, self.dtype)), self.scaling)
        return self.add(super().construct(x), delta.reshape(x.shape[:-1] + (self.out_features,)))
