"""The native kernels: against numpy in double precision, at odd sizes, with one thread and several; and watched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mf_cpu_backend import kernels
from mf_cpu_backend.cores import core_count
from mindspore import Parameter, Tensor, ops
from mindspore.common import np_dtype

from mf_core import get_backend

NATIVE = Path(__file__).parents[1] / "native"

#: Compiler flags of the levels that are tested.
OPTIONS = {
    "x86-64-v4-amx": ["-march=x86-64-v4", "-mamx-tile", "-mamx-bf16"],
    "x86-64-v4": ["-march=x86-64-v4"],
    "x86-64-v3": ["-march=x86-64-v3"],
    "x86-64": [],
    "baseline": [],
}

pytestmark = pytest.mark.skipif(bool(kernels.unavailable()), reason=kernels.unavailable())


@pytest.fixture(params=[1, 2, 3, 4], ids=lambda count: f"{count}threads")
def threads(request):
    kernels.load()
    kernels.set_threads(request.param)
    yield
    kernels.set_threads(core_count())


def kernel(name):
    return get_backend("cpu").capability(name)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def bfloat(array):
    """Return what a bfloat16 parameter of these numbers holds, and the parameter."""
    parameter = Parameter(Tensor(array).astype(ms.bfloat16))
    return parameter.astype(ms.float32).asnumpy(), parameter


def int8(array):
    values = np.rint(array * 40).clip(-127, 127)
    return values, Parameter(Tensor(values.astype(np.int8)))


#: Of few rows, of many, and of more than is laid out at a time; none of them multiples of a vector.
PRODUCTS = [
    (1, 768, 770), (1, 1, 1), (2, 15, 5), (5, 100, 3), (7, 18, 600), (17, 3, 33), (101, 300, 70), (40, 520, 2100),
    (1100, 770, 33), (110, 8300, 40),
]  # fmt: skip

WEIGHTS = {"int8": int8, "bfloat16": bfloat}


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", WEIGHTS)
@pytest.mark.parametrize(("rows", "inner", "width"), PRODUCTS)
def test_weight_only_linear(dtype, rows, inner, width):
    values, weight = WEIGHTS[dtype](random(width, inner, seed=1))
    x, scale, bias = random(rows, inner), random(width, seed=2), random(width, seed=3)
    found = kernel("weight_only_linear")(Tensor(x), weight, Tensor(scale), Tensor(bias)).asnumpy()
    wanted = x.astype(np.float64) @ (values.astype(np.float64) * scale[:, None]).T + bias
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6 * np.abs(wanted).max())


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", WEIGHTS)
def test_weight_only_rows(dtype):
    values, weight = WEIGHTS[dtype](random(11, 19, seed=1))
    scale, ids = random(11, seed=2), np.array([[10, 0, 3], [3, 3, 7]], np.int32)
    found = kernel("weight_only_rows")(Tensor(ids), weight, Tensor(scale)).asnumpy()
    np.testing.assert_allclose(found, (values * scale[:, None])[ids], rtol=1e-6)


def by_heads(x, heads):
    """(B, S, H * D) to (B, H, S, D), in double precision."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3).astype(np.float64)


def beside(x):
    """(B, H, S, D) to (B, S, H * D)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def attention_weights(query, key, bias, scale):
    """Of queries and keys with as many heads each."""
    scores = query @ key.swapaxes(-1, -2) * scale + bias
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


HEADS = [(4, 4, 64), (6, 2, 17), (3, 1, 1), (1, 1, 15)]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("length", [1, 4, 40])
@pytest.mark.parametrize(("heads", "groups", "size"), HEADS)
def test_cached_attention_writes_the_tokens_and_looks_at_what_is_shown(heads, groups, size, length):
    batch, capacity, here = 3, 77, 20
    query = random(batch, length, heads * size)
    key, value = random(batch, length, groups * size, seed=1), random(batch, length, groups * size, seed=2)
    keys, values = random(batch * groups * capacity, size, seed=3), random(batch * groups * capacity, size, seed=4)
    bias = np.full((batch, 1, length, capacity), -6e4, np.float32)
    for row, start in enumerate((0, 7, here)):  # the last sees itself alone
        for i in range(length):
            bias[row, 0, i, start : here + i + 1] = 0
    slots = (np.arange(batch * groups)[:, None] * capacity + here + np.arange(length)).astype(np.int32).reshape(-1)
    held = [Parameter(Tensor(array.copy())) for array in (keys, values)]
    given = map(Tensor, (query, key, value, bias, slots))
    own = kernel("cached_attention")
    found = own(*given, *held, size**-0.5).asnumpy()
    keys[slots], values[slots] = (by_heads(new, groups).reshape(-1, size) for new in (key, value))
    np.testing.assert_array_equal(held[0].asnumpy(), keys)
    np.testing.assert_array_equal(held[1].asnumpy(), values)
    every_key, every_value = (
        cache.reshape(batch, groups, capacity, size).repeat(heads // groups, 1) for cache in (keys, values)
    )
    weights = attention_weights(by_heads(query, heads), every_key, bias, size**-0.5)
    np.testing.assert_allclose(found, beside(weights @ every_value), rtol=1e-5, atol=1e-5)
    last = own(*map(Tensor, (query[:, -1:], key, value, bias[:, :, -1:], slots)), *held, size**-0.5).asnumpy()
    np.testing.assert_allclose(last, found[:, -1:], rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("queries", [1, 33, 70])
@pytest.mark.parametrize(("heads", "groups", "size"), HEADS)
@pytest.mark.parametrize("padded", [False, True])
def test_self_attention_and_its_gradients(heads, groups, size, queries, padded):
    batch, scale, earlier = 2, size**-0.5, 5  # keys before the first query
    keys = queries + earlier
    query = random(batch, queries, heads * size)
    key, value = random(batch, keys, groups * size, seed=1), random(batch, keys, groups * size, seed=2)
    bias = np.where(np.arange(keys) > np.arange(queries)[:, None] + earlier, np.float32(-6e4), np.float32(0))
    bias = np.broadcast_to(bias, (batch if padded else 1, 1, queries, keys)).copy()
    if padded:
        bias[1, ..., : min(40, keys - 1)] = -6e4  # and some queries of the second row see nothing
    own = kernel("self_attention")
    given = tuple(map(Tensor, (query, key, value)))
    dout = random(*query.shape, seed=3)
    sees = (bias == 0).any(-1)[:, 0]
    sees = np.broadcast_to(sees, (batch, queries))
    dout[~sees] = 0
    found = own(*given, Tensor(bias), heads, scale).asnumpy()
    assert np.isfinite(found).all()
    q, d = by_heads(query, heads), by_heads(dout, heads)
    k, v = (by_heads(x, groups).repeat(heads // groups, 1) for x in (key, value))
    weights = attention_weights(q, k, bias, scale)
    assert_close(found[sees], beside(weights @ v)[sees])
    objective = ms.grad(lambda *each: (own(*each, Tensor(bias), heads, scale) * Tensor(dout)).sum(), (0, 1, 2))
    dquery, dkey, dvalue = (gradient.asnumpy() for gradient in objective(*given))
    dweights = d @ v.swapaxes(-1, -2)
    dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True)) * scale

    def shared(x):  # summed over the heads that share a key
        return beside(x.reshape(batch, groups, heads // groups, *x.shape[2:]).sum(2))

    assert_close(dquery, beside(dscores @ k))
    assert_close(dkey, shared(dscores.swapaxes(-1, -2) @ q))
    assert_close(dvalue, shared(weights.swapaxes(-1, -2) @ d))


@pytest.mark.usefixtures("threads")
def test_write_cache():
    cache = Parameter(Tensor(random(12, 5)))
    wanted, slots, new = random(12, 5), np.array([11, 0, 4], np.int32), random(3, 5, seed=1)
    wanted[slots] = new
    returned = kernel("write_cache")(cache, Tensor(slots), Tensor(new)).asnumpy()
    np.testing.assert_array_equal(returned, wanted)
    np.testing.assert_array_equal(cache.asnumpy(), wanted)


def gradients(function, *inputs):
    """Return the gradients in all inputs of a kernel's result times numbers of its shape, and these numbers."""
    dout = random(*function(*map(Tensor, inputs)).shape, seed=9)
    objective = ms.grad(lambda *each: (function(*each) * Tensor(dout)).sum(), tuple(range(len(inputs))))
    found = objective(*map(Tensor, inputs))
    return [gradient.asnumpy() for gradient in (found if isinstance(found, tuple) else (found,))], dout


def assert_close(found, wanted, rtol=2e-5):
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max(initial=0.1))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", ["linear", "linear_outputs_first", "bfloat16_linear", "bfloat16_linear_outputs_first"])
@pytest.mark.parametrize(("rows", "inner", "width"), PRODUCTS)
def test_linear_and_its_gradients(name, rows, inner, width):
    x, weight, bias = random(rows, inner), random(inner, width, seed=1), random(width, seed=2)

    def stored(weight):
        return weight.T.copy() if name.endswith("outputs_first") else weight

    def product(a, b, axis):
        few = a.shape[0] <= 8 and axis != 0  # what a weight is read once for is not rounded
        rounded = name.startswith("bfloat16") and not few
        return np.matmul(*(nearest(each) if rounded else each.astype(np.float64) for each in (a, b)))

    def check_gradients(dx, dweight, dout):
        assert_close(dx, product(dout, weight.T, 1))
        assert_close(stored(dweight), product(x.T, dout, 0))

    assert_close(kernel(name)(*map(Tensor, (x, stored(weight), bias))).asnumpy(), product(x, weight, 1) + bias)
    (dx, dweight, dbias), dout = gradients(kernel(name), x, stored(weight), bias)
    check_gradients(dx, dweight, dout)
    assert_close(dbias, dout.astype(np.float64).sum(0))

    def without_bias(x, weight):
        return kernel(name)(x, weight, None)

    assert_close(without_bias(Tensor(x), Tensor(stored(weight))).asnumpy(), product(x, weight, 1))
    (dx, dweight), dout = gradients(without_bias, x, stored(weight))
    check_gradients(dx, dweight, dout)


def nearest(x):
    """Return what is nearest to ``x`` of what bfloat16 can hold, in fp64."""
    return x.astype(np_dtype.bfloat16).astype(np.float64)


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan, 3.3e38, 3.4e38, 1e-40, -0.0, 1 + 2**-8, 1 + 3 * 2**-8])
def test_what_is_rounded_to_bfloat16(x):
    row = np.zeros((16, 16), np.float32)
    row[3, 5] = x
    found = kernel("bfloat16_linear")(Tensor(np.eye(16, dtype=np.float32)), Tensor(row), None).asnumpy()
    np.testing.assert_allclose(found[3, 5], nearest(row)[3, 5], rtol=0, atol=1.2e-38)  # tiles take subnormals for 0


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (5, 7, 100), (300, 384)])
def test_layer_norm_and_its_gradients(shape):
    x, weight, bias = 3 * random(*shape) + 50, random(shape[-1], seed=1), random(shape[-1], seed=2)
    wide, axes = x.astype(np.float64), tuple(range(len(shape) - 1))
    scale = 1 / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    normed = (wide - wide.mean(-1, keepdims=True)) * scale
    own = kernel("layer_norm")
    assert_close(own(*map(Tensor, (x, weight, bias)), 1e-5).asnumpy(), normed * weight + bias, 2e-4)
    (dx, dweight, dbias), dout = gradients(lambda *each: own(*each, 1e-5), x, weight, bias)
    inner = dout * weight.astype(np.float64)
    rest = inner - inner.mean(-1, keepdims=True) - normed * (inner * normed).mean(-1, keepdims=True)
    assert_close(dx, rest * scale, 2e-4)
    assert_close(dweight, (dout * normed).sum(axes), 2e-4)
    assert_close(dbias, dout.astype(np.float64).sum(axes), 2e-4)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (300, 100)])
def test_bias_add_and_its_gradients(shape):
    x, bias = random(*shape), random(shape[-1], seed=1)
    np.testing.assert_array_equal(kernel("bias_add")(Tensor(x), Tensor(bias)).asnumpy(), x + bias)
    (dx, dbias), dout = gradients(kernel("bias_add"), x, bias)
    np.testing.assert_array_equal(dx, dout)
    assert_close(dbias, dout.astype(np.float64).sum(0))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (2, 3, 50, 100)])
def test_softmax_and_its_gradient(shape):
    x = 5 * random(*shape) + 80
    x.reshape(-1)[: shape[-1] // 2] = -6e4  # hidden
    powers = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    wanted = powers / powers.sum(-1, keepdims=True)
    assert_close(kernel("softmax")(Tensor(x)).asnumpy(), wanted)
    (dx,), dout = gradients(kernel("softmax"), x)
    assert_close(dx, wanted * (dout - (wanted * dout).sum(-1, keepdims=True)))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (5, 7, 100), (300, 384)])
def test_rms_norm_and_its_gradients(shape):
    x, weight = 3 * random(*shape), random(shape[-1], seed=1)
    wide, axes = x.astype(np.float64), tuple(range(len(shape) - 1))
    scale = 1 / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5)
    normed, own = wide * scale, kernel("rms_norm")
    assert_close(own(Tensor(x), Tensor(weight), 1e-5).asnumpy(), normed * weight)
    (dx, dweight), dout = gradients(lambda *each: own(*each, 1e-5), x, weight)
    inner = dout * weight.astype(np.float64)
    assert_close(dx, (inner - normed * (inner * normed).mean(-1, keepdims=True)) * scale)
    assert_close(dweight, (dout * normed).sum(axes))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("beta", [1.0, 1.702])
@pytest.mark.parametrize("shape", [(1,), (3, 17), (300, 101)])
def test_swish_and_its_gradient(shape, beta):
    x, own = 4 * random(*shape), kernel("swish")
    gate = 1 / (1 + np.exp(-beta * x.astype(np.float64)))
    assert_close(own(Tensor(x), beta).asnumpy(), x * gate)
    (dx,), dout = gradients(lambda x: own(x, beta), x)
    assert_close(dx, dout * (gate + beta * x * gate * (1 - gate)))


def test_swish_of_large_numbers():
    x = np.array([-1e30, -100, 100, 1e30, np.nan], np.float32)
    np.testing.assert_array_equal(kernel("swish")(Tensor(x), 1.0).asnumpy(), np.where(x < 0, -0.0, x))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("heads", "half"), [(1, 1), (3, 17), (8, 32)])
def test_rotary_and_its_gradient(heads, half):
    batch, length, capacity = 2, 37, 50
    x, angles = random(batch, length, heads * 2 * half), random(capacity, half, seed=1)
    positions = (np.arange(batch * length) * 7 % capacity).astype(np.int32).reshape(batch, length)
    cos, sin = np.cos(angles), np.sin(angles)
    own, turn = kernel("rotary"), np.exp(1j * angles.astype(np.float64))[positions][:, :, None]
    pairs = x.reshape(batch, length, heads, 2, half).astype(np.float64)
    turned = (pairs[..., 0, :] + 1j * pairs[..., 1, :]) * turn
    wanted = np.stack((turned.real, turned.imag), 3).reshape(x.shape)
    assert_close(own(*map(Tensor, (x, positions, cos, sin))).asnumpy(), wanted)
    (dx,), dout = gradients(lambda x: own(x, *map(Tensor, (positions, cos, sin))), x)
    given = dout.reshape(pairs.shape)
    back = (given[..., 0, :] + 1j * given[..., 1, :]) * turn.conj()
    assert_close(dx, np.stack((back.real, back.imag), 3).reshape(x.shape))


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1,), (3, 17), (300, 101)])
def test_gelu_and_its_gradient(shape):
    x, dy = 4 * random(*shape), random(*shape, seed=1)
    x.flat[0] = 0.0
    wide, step = x.astype(np.float64), 1e-4
    np.testing.assert_allclose(kernel("gelu")(Tensor(x)).asnumpy(), gelu(wide), rtol=1e-5, atol=1e-6)
    own = kernel("gelu")
    found = ms.grad(lambda x, dy: (own(x) * dy).sum())(Tensor(x), Tensor(dy)).asnumpy()
    wanted = (gelu(wide + step) - gelu(wide - step)) / (2 * step) * dy
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_gelu_of_large_numbers():
    x = np.array([-1e30, -100, -20, 20, 100, 1e30, np.nan], np.float32)
    np.testing.assert_array_equal(kernel("gelu")(Tensor(x)).asnumpy(), np.where(x < 0, -0.0, x))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 17), (40, 1000)])
def test_cross_entropy_and_its_gradient(rows, width):
    logits, dout = 8 * random(rows, width) + 100, random(rows, seed=1)  # far from 0: the largest has to be taken off
    labels = (np.arange(rows) * 7 % width).astype(np.int32)
    own = kernel("cross_entropy")
    wide = logits.astype(np.float64)
    totals = np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1)) + wide.max(1)
    losses = own(Tensor(logits), Tensor(labels)).asnumpy()
    np.testing.assert_allclose(losses, totals - wide[np.arange(rows), labels], rtol=1e-5, atol=2e-5)
    found = ms.grad(lambda logits, labels, dout: (own(logits, labels) * dout).sum())(
        Tensor(logits), Tensor(labels), Tensor(dout)
    ).asnumpy()
    wanted = np.exp(wide - totals[:, None])
    wanted[np.arange(rows), labels] -= 1
    np.testing.assert_allclose(found, wanted * dout[:, None], rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1,), (3, 17), (300, 101)])
def test_fused_adamw(shape):
    weight, first, second, gradient = (random(*shape, seed=seed) for seed in range(4))
    second = second**2
    parameters = [Parameter(Tensor(array)) for array in (weight, first, second)]
    numbers = Tensor(0.5, ms.float32), Tensor(3.0, ms.float32), Tensor(0.01, ms.float32)

    def update(finite, gradient):
        tuples = [(array,) for array in (*parameters, Tensor(gradient))]
        kernel("fused_adamw")(Tensor(finite), *tuples, *numbers, 0.9, 0.999, 1e-6, (0.1,))[0].asnumpy()

    update(True, gradient)
    wide = gradient.astype(np.float64) * 0.5
    m, v = 0.9 * first.astype(np.float64) + 0.1 * wide, 0.999 * second.astype(np.float64) + 0.001 * wide**2
    step = m / (1 - 0.9**3) / (np.sqrt(v / (1 - 0.999**3)) + 1e-6)
    wanted = weight - 0.01 * (0.1 * weight.astype(np.float64) + step), m, v
    for parameter, array in zip(parameters, wanted, strict=True):
        assert_close(parameter.asnumpy(), array)
    update(False, np.full(shape, np.inf, np.float32))
    for parameter, array in zip(parameters, wanted, strict=True):
        assert_close(parameter.asnumpy(), array)


def test_the_sum_of_squares_is_that_of_any_number_of_threads():
    arrays = [random(*shape, seed=seed) for seed, shape in enumerate([(1,), (3, 17), (300, 101), (70000,)])]
    kernels.load()
    found = []
    for count in range(1, 5):
        kernels.set_threads(count)
        found.append(kernel("sum_of_squares")(tuple(map(Tensor, arrays))).asnumpy())
    kernels.set_threads(core_count())
    np.testing.assert_array_equal(found[1:], found[:-1])
    np.testing.assert_allclose(found[0], [sum((a.astype(np.float64) ** 2).sum() for a in arrays)], rtol=1e-6)


def test_what_does_not_fit_is_an_error():
    linear, ones = kernel("weight_only_linear"), lambda *shape: Tensor(np.ones(shape, np.float32))
    weight = Tensor(np.ones((5, 4), np.int8))
    with pytest.raises((RuntimeError, ValueError)):
        linear(ones(2, 3), weight, ones(5), ones(5)).asnumpy()
    with pytest.raises((RuntimeError, ValueError)):
        kernel("weight_only_rows")(Tensor(np.array([5], np.int32)), weight, ones(5)).asnumpy()
    with pytest.raises((RuntimeError, ValueError)):
        kernel("weight_only_rows")(Tensor(np.array([1], np.int64)), weight, ones(5)).asnumpy()
    with pytest.raises((RuntimeError, ValueError)):
        kernel("rotary")(ones(1, 1, 4), Tensor(np.array([[5]], np.int32)), ones(5, 2), ones(5, 2)).asnumpy()
    with pytest.raises((RuntimeError, ValueError)):
        kernel("self_attention")(ones(2, 3, 8), ones(2, 3, 8), ones(2, 3, 8), ones(1, 1, 3, 3), 3, 1.0).asnumpy()
    number = Tensor(1.0, ms.float32)
    with pytest.raises((RuntimeError, ValueError)):
        arrays = [(Parameter(ones(4)),) for _ in range(3)]
        numbers = number, number, number, 0.9, 0.999, 1e-6, (0.1,)
        kernel("fused_adamw")(Tensor(True), *arrays, (ones(5),), *numbers)[0].asnumpy()
    assert ops.add(ones(1), ones(1)).asnumpy() == [2]  # and the process goes on


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("level", [*kernels.libraries()][:1] + [*kernels.libraries()][-1:])
def test_no_kernel_touches_what_is_not_its_own(level, tmp_path):
    """AddressSanitizer and UBSan watch all kernels at odd sizes, at the best and the least level."""
    program = tmp_path / "kernels"
    sources = [*sorted(map(str, NATIVE.glob("*.cc"))), str(Path(__file__).with_name("kernels_main.cc"))]
    watched = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-g1", "-pthread", "-Wall", "-Wextra", "-Werror", "-Wno-psabi",
         "-Wno-maybe-uninitialized",  # GCC's own intrinsics of AVX-512 set off this one
         *watched, *OPTIONS[level], *sources, "-o", str(program)], check=True,
    )  # fmt: skip
    # The threads of the pool live to the end, which is no leak.
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    )
    assert (done.returncode, done.stdout) == (0, "all fine\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("level", list(kernels.libraries())[1:])
def test_kernels_of_lower_levels(level, tmp_path):
    """All of the above again, with the kernels that lesser processors get."""
    names = "linear or rows or attention or cache or norm or bias or softmax or gelu or swish or rotary or entropy"
    others = ("test_cpu_decoder_pass", "test_cpu_quantized")
    files = [__file__, *(str(Path(__file__).with_name(f"{name}.py")) for name in others)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k",
         f"(({names}) and (1t or 3t)) or {' or '.join(others)}"],
        env={**os.environ, "MF_CPU_LEVEL": level}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_a_level_that_is_not_there_is_refused(tmp_path):
    done = subprocess.run(
        [Path(sys.executable).with_name("mf"), "generate", "--model", "gpt2_tiny", "Once"],
        env={**os.environ, "MF_CPU_LEVEL": "x86-64-v9"}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "MF_CPU_LEVEL='x86-64-v9' is not to be had" in done.stderr
    assert f"one of {', '.join(kernels.libraries())}" in done.stderr


def test_without_a_library_there_are_none_and_it_is_said(tmp_path):
    code = (
        "import mf_cpu_backend.kernels as k, pathlib; k.FOLDER = pathlib.Path('nowhere')\n"
        "from mf_core.backends import load_backend; b = load_backend('cpu')\n"
        "print([str(c) for c in b.probe().checks if c.name == 'native kernels'], b.capability('gelu'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    said = "['native kernels: this installation was built without a C++ compiler'] None"
    assert done.stdout.strip() == said, done.stderr
