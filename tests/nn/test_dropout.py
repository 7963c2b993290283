"""Dropout that can be repeated."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.nn import Dropout, set_random_key


def dropped(layer, shape, *key):
    set_random_key(*key)
    return layer(ms.Tensor(np.ones(shape, np.float32))).asnumpy()


def layer(p, site=0):
    cell = Dropout(p).set_train(True)
    cell.set_site(site)
    return cell


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_scale_and_independence(p):
    values = dropped(layer(p), (4, 128, 256), 1, 1)
    kept = values != 0
    assert abs(kept.mean() - (1 - p)) < 0.005
    np.testing.assert_allclose(values[kept], 1 / (1 - p), rtol=1e-6)
    unit = (kept - kept.mean()).reshape(-1, 256) / kept.std()
    for matrix in (unit, unit.T):  # neither rows nor columns go together more than chance lets them
        length = matrix.shape[1]
        correlation = np.triu(matrix @ matrix.T / length**0.5, 1)[np.triu_indices(len(matrix), 1)]
        assert abs(correlation.std() - 1) < 0.05
        assert abs(correlation).max() < 8


def test_masks_depend_on_the_key_and_the_index_in_the_model():
    first = dropped(layer(0.5), (64, 64), 7, 1)
    np.testing.assert_array_equal(first, dropped(layer(0.5), (64, 64), 7, 1))
    for other in (dropped(layer(0.5), (64, 64), 7, 2), dropped(layer(0.5, site=1), (64, 64), 7, 1)):
        assert 0.4 < (first != other).mean() < 0.6


def test_a_compiled_graph_sees_a_new_key():
    cell = layer(0.5)

    @ms.jit
    def run(x):
        return cell(x)

    x = ms.Tensor(np.ones((32, 32), np.float32))
    set_random_key(1)
    first, again = run(x).asnumpy(), run(x).asnumpy()
    set_random_key(2)
    other = run(x).asnumpy()
    set_random_key(1)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, run(x).asnumpy())
    assert (first != other).any()


def test_no_dropout_outside_training_and_no_weight_of_it():
    assert (dropped(Dropout(0.5).set_train(False), (8, 8), 1) == 1).all()
    set_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=11, hidden_size=8, num_layers=1, num_heads=2, seq_length=8))
    assert all("key" not in name for name, _ in model.parameters_and_names())
    ids = ms.Tensor(np.array([[1, 2, 3]]))
    np.testing.assert_array_equal(model(ids).asnumpy(), model(ids).asnumpy())
    model.set_train(True)
    set_random_key(1)
    first = model(ids).asnumpy()
    set_random_key(2)
    assert (first != model(ids).asnumpy()).any()
