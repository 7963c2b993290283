"""Losses."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops


class CrossEntropy(nn.Cell):
    """``-log softmax(logits)[label]`` of each row; its gradient is made along with it and grown without a table."""

    def __init__(self) -> None:
        super().__init__()
        self.operator = ops.SoftmaxCrossEntropyWithLogits()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(N,)`` losses, and their gradient, ``(N, V)``.

        Args:
            logits: ``(N, V)`` fp32.
            labels: ``(N,)`` int32.
        """
        losses, gradient = self.operator(logits, ops.one_hot(labels, logits.shape[-1], self.on, self.off))
        return losses, gradient

    def bprop(
        self, logits: Tensor, labels: Tensor, out: tuple[Tensor, Tensor], dout: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the losses; the gradient's own is nobody's."""
        gradient = out[1]
        return gradient * ops.broadcast_to(dout[0].reshape((-1, 1)), gradient.shape), ops.zeros_like(labels)
