"""Linear layers whose weights are ``(out, in)``: the product, adapters, and the pieces of a plan."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mf_core import LoraConfig, PretrainedConfig, PretrainedModel, add_lora, merge_lora
from mf_core.nn import Linear
from mf_core.parallel import ParallelPlan


class PairConfig(PretrainedConfig):
    """Two linear layers."""

    model_type = "pair"


class Pair(PretrainedModel):
    """Columns, then rows."""

    config_class = PairConfig

    def __init__(self, config):
        super().__init__(config)
        self.up = Linear(6, 8, std=0.5, outputs_first=True)
        self.down = Linear(8, 6, std=0.5, outputs_first=True)
        self.post_init()

    def construct(self, x):
        return self.down(self.up(x))


X = np.random.default_rng(0).standard_normal((2, 3, 6)).astype(np.float32)


def test_the_product_is_with_the_transposed_weight():
    layer, usual = Linear(6, 8, outputs_first=True), Linear(6, 8)
    assert layer.weight.shape == (8, 6)
    usual.weight.set_data(Tensor(layer.weight.asnumpy().T.copy()))
    layer.bias.set_data(Tensor(np.arange(8, dtype=np.float32)))
    usual.bias.set_data(layer.bias)
    np.testing.assert_allclose(layer(Tensor(X)).asnumpy(), usual(Tensor(X)).asnumpy(), atol=1e-6)
    assert isinstance(layer, nn.Cell) and layer(Tensor(X)).shape == (2, 3, 8)


def test_adapters_fold_into_the_weights():
    model = Pair(PairConfig())
    plain = model(Tensor(X)).asnumpy()
    add_lora(model, LoraConfig(r=2, target_modules=("up", "down")))
    for name, parameter in model.parameters_and_names():
        if "lora_B" in name:
            parameter.set_data(Tensor(np.random.default_rng(1).standard_normal(parameter.shape).astype(np.float32)))
    adapted = model(Tensor(X)).asnumpy()
    assert np.abs(adapted - plain).max() > 0.1
    merge_lora(model)
    assert model.up.weight.shape == (8, 6)
    np.testing.assert_allclose(model(Tensor(X)).asnumpy(), adapted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("outputs_first", "column", "row"), [(False, 1, 0), (True, 0, 1)])
def test_a_plan_splits_along_the_same_numbers(outputs_first, column, row):
    plan = ParallelPlan(columns={"up": 1}, rows=("down",), outputs_first=outputs_first)
    assert plan.split("up.weight", vocabulary=False).axis == column
    assert plan.split("down.weight", vocabulary=False).axis == row
    assert plan.split("up.bias", vocabulary=False).axis == 0
    assert plan.split("down.bias", vocabulary=False) is None
