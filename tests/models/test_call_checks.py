"""A model that is called with what it does not take says what it takes."""

import mindspore as ms
import numpy as np
import pytest

from mf_core.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from mf_core.models.call_checks import explained

from ..support.lora_models import IDS, make


@pytest.fixture(scope="module")
def model():
    return make(num_layers=1)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (IDS.asnumpy(), "input_ids is of the type ndarray"),
        ([[1, 2]], "input_ids is of the type list"),
        (ms.Tensor(np.ones((1, 3), np.float32)), "input_ids are integers, not Float32"),
        (ms.Tensor(np.ones(3, np.int32)), r"the shape \(batch, tokens\), not \(3,\)"),
    ],
)
def test_ids_of_another_form(model, ids, words):
    with pytest.raises((ArgumentError, ArgumentTypeError), match=words) as caught:
        model(ids)
    assert caught.value.hint


def test_a_cast_by_mindspores_own_method_is_refused(model):
    with pytest.raises(UnsupportedError, match="not cast by to_float") as caught:
        model.to_float(ms.float16)
    assert "set_compute_dtype" in caught.value.hint


def test_a_kernel_that_refuses_mixed_types_is_explained():
    model = make(num_layers=1)
    model.transformer.ln_f.weight.set_dtype(ms.float16)
    error = explained(model, RuntimeError("Return value from CPU AOT kernel(x.so)'s function(mf_layer_norm) is 1."))
    assert "float16 (transformer.ln_f.weight), float32 (transformer.wte.weight)" in error.why
    assert explained(model, RuntimeError("something else")) is None
