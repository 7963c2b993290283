"""Activations are those that ``transformers`` has by the same names; here by formulas in numpy."""

import math

import mindspore as ms
import numpy as np
import pytest

from mf_core.config import ACTIVATION_NAMES
from mf_core.nn import ACTIVATIONS

X = np.linspace(-7, 7, 57)
_ERF = 0.5 * X * (1 + np.vectorize(math.erf)(X / 2**0.5))
_TANH = 0.5 * X * (1 + np.tanh((2 / np.pi) ** 0.5 * (X + 0.044715 * X**3)))
_SIGMOID = 1 / (1 + np.exp(-X))
EXPECTED = {
    "gelu": _ERF, "gelu_python": _ERF, "gelu_new": _TANH, "gelu_pytorch_tanh": _TANH, "gelu_python_tanh": _TANH,
    "gelu_fast": _TANH, "gelu_accurate": _TANH, "quick_gelu": X / (1 + np.exp(-1.702 * X)), "linear": X,
    "mish": X * np.tanh(np.log1p(np.exp(X))), "relu": np.maximum(X, 0), "relu2": np.maximum(X, 0) ** 2,
    "relu6": np.clip(X, 0, 6), "sigmoid": _SIGMOID, "silu": X * _SIGMOID, "swish": X * _SIGMOID, "tanh": np.tanh(X),
}  # fmt: skip


def test_every_name_has_a_formula_here():
    assert set(ACTIVATIONS) == set(ACTIVATION_NAMES) == set(EXPECTED)
    assert np.abs(_ERF - _TANH).max() > 1e-4  # the test can tell them apart


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_activation(name):
    result = ACTIVATIONS[name]()(ms.Tensor(X.astype(np.float32))).asnumpy()
    np.testing.assert_allclose(result, EXPECTED[name], atol=2e-6)
