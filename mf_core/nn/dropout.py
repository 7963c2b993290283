"""Dropout whose draws are a function of a key, so that a run can be repeated, resumed and recomputed exactly.

MindSpore's own dropout keeps a hidden state in its kernel, which can be neither read nor set. Here the draws come from
a key of two numbers that the training loop sets before each step (:func:`set_random_key`), from the layer's number in
the model, and from the element's position.
"""

from __future__ import annotations

from typing import ClassVar

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .operators import Operators

#: Not a weight of any model: it is kept out of the cells that read it.
_KEY = Parameter(Tensor(np.array([1, 2, 0], np.int32)), name="mf_random_key", requires_grad=False)


def set_random_key(*numbers: int, first_row: int = 0) -> None:
    """Set what dropout draws from; the same numbers give the same draws.

    Args:
        *numbers: Any whole numbers of at least 0, such as a seed and a step.
        first_row: Place of the batch's first row in a larger batch that it is a part of: the parts together draw what
            the whole would.
    """
    state = np.random.SeedSequence(numbers).generate_state(2).view(np.int32)
    # Not set_data: a graph that has used a parameter does not see what that puts in.
    ops.assign(_KEY, Tensor(np.append(state, np.int32(first_row))))


def dropout_operators(axes: str) -> Operators:
    """Return the axes of a dropout's operators, for inputs of these axes.

    Args:
        axes: Words for all but the last, and one for that: ``"rows positions -"``.
    """
    words = axes.split()
    return {
        "product": (" ".join((*words[:-1], "-")), words[-1]), "above": (axes, ""), "scaled": (axes, ""),
        "multiply": (axes, axes),
    }  # fmt: skip


class Dropout(nn.Cell):
    """Sets elements to 0 with probability ``p`` and scales the others by ``1 / (1 - p)``, in training mode only.

    Element ``(i, j)`` of the input, seen as a matrix of its last axis, is kept where ``r[i] * c[j]``, a 32-bit product
    of hashes of the row and the column, is above the threshold that ``p`` gives. The draws change with the key alone: a
    training loop of your own calls :func:`set_random_key` with a new step before each step.

    Args:
        p: Probability of dropping, from 0 to below 1.

    Attributes:
        by_compiler: Whether MindSpore's parallel compiler splits the operators: then nothing is grown beforehand.
    """

    operators: ClassVar[Operators] = dropout_operators("rows positions -")

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p={p!r} is not from 0 to below 1")
        self.p = p
        self.scale = 1.0 / (1.0 - p)
        self.threshold = int(p * 2**32) - 2**31
        self.product, self.above = ops.Mul(), ops.GreaterEqual()
        self.scaled, self.multiply = ops.Mul(), ops.Mul()
        self.by_compiler = False
        self.__dict__["key"] = _KEY  # past the cell's own attributes, which would make it a weight
        self.set_site(0)
        self.set_part(0, 1, heads=False, positions=False)

    def set_site(self, number: int) -> None:
        """Distinguish two layers of one model; :meth:`mf_core.PretrainedModel.post_init` numbers them."""
        self.row_salt, self.column_salt = (
            int(n) for n in np.random.SeedSequence((number,)).generate_state(2).view(np.int32)
        )

    def set_part(self, index: int, count: int, *, heads: bool, positions: bool) -> None:
        """Declare that inputs are part ``index`` of ``count`` equal parts along the second axis, and draw accordingly.

        Args:
            index: Which part.
            count: Of how many.
            heads: Whether inputs of four axes, ``(B, H, S, T)``, are parts.
            positions: Whether inputs of three axes, ``(B, S, E)``, are.
        """
        self.part, self.heads, self.positions = index, count if heads else 1, count if positions else 1

    def construct(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        if not self.training or self.p == 0:
            return x
        columns = x.shape[-1]
        rows = x.size // columns
        each = rows // x.shape[0]  # of each example
        positions = ops.cast(ops.arange(rows), ms.int32)
        parts = self.heads if x.ndim == 4 else self.positions
        if parts > 1:
            examples = ops.cast(ops.arange(x.shape[0]), ms.int32).reshape((-1, 1))
            skipped = ops.broadcast_to(examples * (each * (parts - 1)), (x.shape[0], each)).reshape((-1,))
            positions = positions + skipped + each * self.part
        # With a first axis of 1, which MindSpore's parallel compiler cannot split, each device makes all hashes itself.
        first = self.key[2] * (each * parts) + (self.key[0] + self.row_salt)
        row = _mix(positions.reshape((1, -1)) + first)
        column = ops.cast(ops.arange(columns), ms.int32).reshape((1, -1))
        column = ops.bitwise_or(_mix(column + (self.key[1] + self.column_salt)), 1)
        if self.by_compiler:
            row, column = row.reshape(x.shape[:-1] + (1,)), column.reshape((-1,))
        else:
            size = (rows, columns)  # grown first: see attention.py
            row, column = ops.broadcast_to(row.reshape((-1, 1)), size), ops.broadcast_to(column, size)
        kept = self.above(self.product(row, column), self.threshold)
        return self.multiply(x, self.scaled(ops.cast(kept, x.dtype), self.scale).reshape(x.shape))


def _mix(x: Tensor) -> Tensor:
    """Mix the bits of int32 numbers (the multiply-and-shift rounds of MurmurHash3's finaliser)."""
    x = x * -1640531527
    x = ops.bitwise_xor(x, ops.bitwise_right_shift(x, Tensor(15, ms.int32)))
    x = x * -2048144789
    return ops.bitwise_xor(x, ops.bitwise_right_shift(x, Tensor(13, ms.int32)))


class HeadDropout(Dropout):
    """Dropout of attention's weights, ``(B, H, S, T)``."""

    operators: ClassVar[Operators] = dropout_operators("rows heads - -")


def number_sites(model: nn.Cell) -> None:
    """Number the dropouts of a model in order."""
    found = [cell for _, cell in model.cells_and_names() if isinstance(cell, Dropout)]
    for number, cell in enumerate(found, 1):
        cell.set_site(number)
