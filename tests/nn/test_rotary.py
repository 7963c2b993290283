"""Rotary positions, with the kernel and without."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from mindspore import Tensor

from mf_core.nn import Rotary


def at(position):
    return Tensor(np.array([[position]], np.int32))


def test_products_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    query, key = (Tensor(rng.standard_normal((1, 1, 8)).astype(np.float32)) for _ in range(2))
    rotary = Rotary(8, 64)

    def product(query_place, key_place):
        return float((rotary(query, at(query_place)) * rotary(key, at(key_place))).sum().asnumpy())

    assert product(5, 2) == pytest.approx(product(45, 42), rel=1e-4)
    assert product(5, 2) != pytest.approx(product(5, 3), rel=1e-2)
    np.testing.assert_array_equal(rotary(query, at(0)).asnumpy(), query.asnumpy())


def test_each_head_is_turned_alike_with_the_kernel_and_without():
    code = (
        "import numpy as np; from mindspore import Tensor; from mf_core.nn import Rotary\n"
        "x = Tensor(np.arange(48, dtype=np.float32).reshape(2, 2, 12))\n"
        "positions = Tensor(np.array([[0, 3], [9, 1]], np.int32))\n"
        "print(np.round(Rotary(4, 10, 100.0)(x, positions).asnumpy(), 3).tolist())"
    )
    found = [
        np.array(json.loads(subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "MF_KERNELS": on},
        ).stdout))
        for on in ("0", "1")
    ]  # fmt: skip
    x = np.arange(48).reshape(2, 2, 3, 2, 2).astype(float)
    angles = np.array([[0, 3], [9, 1]])[:, :, None, None] * np.array([1, 0.1])
    wanted = np.stack((
        x[..., 0, :] * np.cos(angles) - x[..., 1, :] * np.sin(angles),
        x[..., 1, :] * np.cos(angles) + x[..., 0, :] * np.sin(angles),
    ), 3).reshape(2, 2, 12)  # fmt: skip
    for each in found:
        np.testing.assert_allclose(each, wanted, atol=2e-3)


def test_a_head_that_is_no_pairs_is_refused():
    with pytest.raises(ValueError, match="width=3 is not even"):
        Rotary(3, 10)


def test_layers_share_the_tables():
    first, second, other = Rotary(8, 64), Rotary(8, 64), Rotary(8, 64, 500.0)
    assert first.cos is second.cos and first.sin is second.sin and first.cos is not other.cos
