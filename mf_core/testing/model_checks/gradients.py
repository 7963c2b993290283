"""The model can be trained: gradients are numbers, reach every parameter, and following them lowers the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...parallel.plan import matches
from ..contracts.contract import once
from .model_under_test import ModelSubject
from .random_weights import flat, set_weights

#: Steps of Adam that the loss is given to fall in, and their rates: the second where the first is too large.
_STEPS, _RATES = 6, (1e-2, 1e-3)


class GradientChecks(ModelSubject):
    """The checks of training."""

    @once
    def _trained(self) -> tuple[Any, list[Any], Any]:
        """A separate model, its trainable parameters, and a function that returns its loss and their gradients."""
        import mindspore as ms

        from ...tasks.causal_lm import CausalLMRecipe

        model = self.model_class(self.make_config())
        set_weights(model, seed=1)
        model.set_train(True)
        parameters = list(model.trainable_params())
        if not self.is_causal_lm:
            return model, parameters, ms.value_and_grad(self._distance_to_targets(model), None, tuple(parameters))
        network = CausalLMRecipe(model).network()

        def loss(*batch: Any) -> Any:
            return network(*batch)[0]

        # Compiled, as training is: outside graphs MindSpore builds the gradient of each cell at each call.
        return model, parameters, ms.jit(ms.value_and_grad(loss, None, tuple(parameters)))

    def _distance_to_targets(self, model: Any) -> Any:
        """Return a loss for any outputs: their mean squared distances to random targets."""
        from mindspore import Tensor, ops

        arguments = self.positional(self.arguments(4, seed=5))
        random = np.random.default_rng(6)
        shapes = [tuple(tensor.shape) for tensor in flat(model(*arguments))]
        targets = [Tensor(random.standard_normal(shape).astype(np.float32)) for shape in shapes]

        def loss() -> Any:
            pairs = zip(flat(model(*arguments)), targets, strict=True)
            return sum(ops.mean(ops.square(output - target)) for output, target in pairs)

        return loss

    def _gradients(self) -> tuple[float, list[np.ndarray]]:
        import mindspore as ms

        _, _, compute = self._trained
        batch: tuple[Any, ...] = ()
        if self.is_causal_lm:
            ids = self.ids(4, self.length + 1, seed=5)
            batch = ms.Tensor(ids), ms.Tensor(np.ones((4, self.length), np.float32))
        value, gradients = compute(*batch)
        return float(value.asnumpy()), [gradient.float().asnumpy() for gradient in gradients]

    def test_gradients_are_numbers_and_reach_every_parameter(self) -> None:
        """A parameter without a gradient is never trained, and nothing says so."""
        loss, gradients = self._gradients()
        self.expect(np.isfinite(loss), f"the loss is {loss}")
        names = [parameter.name for parameter in self._trained[1]]
        self.expect(names, "the model has no trainable parameters")
        broken = [name for name, g in zip(names, gradients, strict=True) if not np.isfinite(g).all()]
        self.expect(not broken, f"gradients hold what is not a number: {', '.join(broken[:3])}",
                    "mind divisions by 0, log and sqrt at 0, and exp of large numbers")  # fmt: skip
        still = [name for name, g in zip(names, gradients, strict=True) if not g.any()]
        still = [name for name in still if not matches(name, tuple(self.no_gradient))]
        self.expect(
            not still, f"no gradient reaches {', '.join(still[:3])}",
            "use it in construct; make buffers with requires_grad=False; or name it in `no_gradient`",
        )  # fmt: skip

    def test_training_lowers_the_loss(self) -> None:
        """A gradient of the wrong sign or the wrong parameter trains as well, and the loss does not fall."""
        for rate in _RATES:
            first, lowest = self._take_steps(rate)
            if lowest < first - rate:
                return
        self.fault(f"{_STEPS} steps on one batch took the loss from {first:.3f} to {lowest:.3f}",
                   "see that construct, body and head agree, and that no gradient is stopped")  # fmt: skip

    def _take_steps(self, rate: float) -> tuple[float, float]:
        """Return the loss before some steps, and the lowest that was seen: a step may go too far."""
        import mindspore as ms

        _, parameters, _ = self._trained
        before = [parameter.asnumpy().copy() for parameter in parameters]
        first = lowest = np.inf
        means = [np.zeros(parameter.shape) for parameter in parameters]
        squares = [np.zeros(parameter.shape) for parameter in parameters]
        for number in range(1, _STEPS + 1):
            loss, gradients = self._gradients()
            first, lowest = loss if number == 1 else first, min(loss, lowest)
            for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient**2 - square)
                change = mean / (1 - 0.9**number) / (np.sqrt(square / (1 - 0.999**number)) + 1e-8)
                new = parameter.float().asnumpy() - rate * change
                ms.ops.assign(parameter, ms.Tensor(new.astype(np.float32)).astype(parameter.dtype))
        for parameter, array in zip(parameters, before, strict=True):
            ms.ops.assign(parameter, ms.Tensor(array))
        return first, lowest
