"""One optimisation step as one compiled graph: loss, gradients, clipping, AdamW."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..errors import UnsupportedError
from ..modeling import PretrainedModel
from .arguments import TrainingArguments


class TrainStep(nn.Cell):
    """Updates a model's parameters by AdamW (Loshchilov and Hutter, 2019), as ``torch.optim.AdamW`` does.

    Args:
        model: Whose parameters are trained; they are fp32.
        network: Maps a batch to ``(loss, targets)``.
        args: Betas, epsilon, weight decay, clipping.
    """

    def __init__(self, model: PretrainedModel, network: nn.Cell, args: TrainingArguments) -> None:
        super().__init__(auto_prefix=False)
        for parameter in model.trainable_params():
            if parameter.dtype != ms.float32:
                raise UnsupportedError(
                    f"{parameter.name} is {parameter.dtype}; training wants fp32 parameters", value=parameter.name,
                    hint="load the model with param_init_type='float32'",
                )
        self.network = network
        self.weights = ParameterTuple(model.trainable_params())
        self.first, self.second = self._moments("first"), self._moments("second")
        # Biases and norms are vectors, and do not decay.
        self.decays = tuple(args.weight_decay if len(w.shape) > 1 else 0.0 for w in self.weights)
        self.max_norm = args.max_grad_norm
        self.beta1, self.beta2 = Tensor(args.adam_beta1, ms.float32), Tensor(args.adam_beta2, ms.float32)
        self.count = len(self.weights)
        self.gradient = ms.value_and_grad(network, None, weights=self.weights, has_aux=True)
        self.update = ops.operations.AdamWeightDecay()
        self._betas, self._epsilon = (args.adam_beta1, args.adam_beta2), args.adam_epsilon

    def _moments(self, kind: str) -> ParameterTuple:
        return ParameterTuple([
            Parameter(ops.zeros_like(w), name=f"adamw.{kind}.{w.name}", requires_grad=False) for w in self.weights
        ])  # fmt: skip

    @ms.jit
    def construct(self, rate: Tensor, epsilon: Tensor, decay_scale: Tensor, *batch: Tensor) -> tuple[Any, Any, Any]:
        """Return loss, targets and the gradients' global norm, all before the update."""
        (loss, targets), gradients = self.gradient(*batch)
        squares = Tensor(0.0, ms.float32)
        for gradient in gradients:
            squares = squares + ops.square(gradient).sum()
        norm = ops.sqrt(squares)
        factor = Tensor(1.0, ms.float32)
        if self.max_norm > 0:
            factor = ops.minimum(self.max_norm / (norm + 1e-6), factor)
        for i in range(self.count):
            self.update(
                self.weights[i], self.first[i], self.second[i], rate, self.beta1, self.beta2, epsilon,
                self.decays[i] * decay_scale, gradients[i] * factor,
            )  # fmt: skip
        return loss, targets, norm

    def run(self, number: int, rate: float, batch: tuple[np.ndarray, ...]) -> tuple[Any, Any, Any]:
        """Take step ``number`` (from 1) at the learning rate ``rate``.

        The fused operator has no bias correction, so its arguments carry it: with ``c1 = 1 - beta1^t`` and
        ``c2 = 1 - beta2^t``, ``rate * (m / c1) / (sqrt(v / c2) + eps)`` equals
        ``(rate * sqrt(c2) / c1) * m / (sqrt(v) + eps * sqrt(c2))``.
        """
        c1, c2 = 1 - self._betas[0] ** number, 1 - self._betas[1] ** number
        scale = c2**0.5 / c1
        scalars = (rate * scale, self._epsilon * c2**0.5, 1 / scale)
        return self(*(Tensor(value, ms.float32) for value in scalars), *map(Tensor, batch))  # type: ignore[no-any-return]
