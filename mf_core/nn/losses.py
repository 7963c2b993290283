"""Losses."""

from __future__ import annotations

from typing import ClassVar

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from .kernels import kernel
from .operators import Operators


class CrossEntropy(nn.Cell):
    """``-log softmax(logits)[label]`` of each row.

    Attributes:
        by_compiler: Whether MindSpore's parallel compiler splits the operators, and makes their gradients itself.
    """

    operators: ClassVar[Operators] = {"one_hot": ("all -", "", ""), "operator": ("all -", "all -")}

    def __init__(self) -> None:
        super().__init__()
        self.one_hot, self.operator = ops.OneHot(), ops.SoftmaxCrossEntropyWithLogits()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)
        self.spared, self.kernel = _CrossEntropyWithGradient(), kernel("cross_entropy")
        self.by_compiler = False

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return ``(N,)`` losses.

        Args:
            logits: ``(N, V)`` fp32.
            labels: ``(N,)`` of whole numbers.
        """
        if self.by_compiler:
            losses, _ = self.operator(logits, self.one_hot(labels, logits.shape[-1], self.on, self.off))
            return losses
        if self.kernel is not None:
            return self.kernel(logits, ops.cast(labels, mstype.int32))
        losses, _ = self.spared(logits, labels)
        return losses


class _CrossEntropyWithGradient(nn.Cell):
    """The losses and, computed together, their gradient, computed without a table of broadcasts."""

    def __init__(self) -> None:
        super().__init__()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        targets = ops.one_hot(labels, logits.shape[-1], self.on, self.off)
        losses, gradient = ops.SoftmaxCrossEntropyWithLogits()(logits, targets)
        return losses, gradient

    def bprop(
        self, logits: Tensor, labels: Tensor, out: tuple[Tensor, Tensor], dout: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the losses; there is no second-order gradient."""
        gradient = out[1]
        return gradient * ops.broadcast_to(dout[0].reshape((-1, 1)), gradient.shape), ops.ZerosLike()(labels)
