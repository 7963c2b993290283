"""Kernels of a backend's own: asked for by name, used where they are, and otherwise the layers compute as they did."""

import logging
import os
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from mf_core import get_backend
from mf_core.nn import RMSNorm
from mf_core.nn.kernels import NAMES, kernel


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_which_there_are_is_said_once(caplog):
    own = get_backend("cpu").kernels
    with caplog.at_level(logging.INFO, "mf_core"):
        assert {name for name in NAMES * 2 if kernel(name)} <= set(own)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) <= len(NAMES)  # a layer of another test may have asked before
    who = {name: "the cpu backend's" if kernel(name) else "MindSpore's operators" for name in NAMES}
    assert set(said) <= {f"{name}: {owner}" for name, owner in who.items()}


def test_another_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="no kernel 'rmsnorm'; there are causal_attention, rms_norm"):
        kernel("rmsnorm")


#: A backend that has one, which notes that it was called.
LENT = """
import logging; logging.basicConfig(level=logging.INFO, format="%(message)s", stream=__import__("sys").stdout)
from mf_cpu_backend.backend import CPUBackend
def lent(x, weight, epsilon):
    print("called with", x.shape, str(x.dtype), weight.shape, epsilon)
    return x
CPUBackend.capability = lambda self, name: lent if name == "rms_norm" else None
from mf_core.nn import RMSNorm
import mindspore as ms
norm = RMSNorm(4, epsilon=0.5, dtype="float16")
y = norm(ms.ops.ones((2, 4), ms.float32) * 3)
print(y.dtype, y.asnumpy().max())
"""


def test_a_kernel_that_there_is_serves_with_what_its_name_says():
    lines = python(LENT).splitlines()
    assert lines == ["rms_norm: the cpu backend's", "called with (2, 4) Float16 (4,) 0.5", "Float32 3.0"]


def test_all_are_turned_off_at_once():
    lines = python(LENT, MF_KERNELS="0").splitlines()
    assert lines[0] == "rms_norm: turned off by MF_KERNELS=0"
    assert lines[1].startswith("Float32 0.97")


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weight


class Objective(ms.nn.Cell):
    def __init__(self, norm, dout):
        super().__init__(auto_prefix=False)
        self.norm, self.dout = norm, dout

    def construct(self, x):
        return (self.norm(x) * self.dout).sum()


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7)])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_rms_norm_and_its_gradients(shape, compiled):
    random = np.random.default_rng(1)
    x, weight, dout = (random.standard_normal(size) for size in (shape, shape[-1:], shape))
    norm = RMSNorm(7, epsilon=1e-3)
    norm.weight.set_data(ms.Tensor(weight, ms.float32))
    gradients = ms.value_and_grad(Objective(norm, ms.Tensor(dout, ms.float32)), 0, norm.trainable_params())

    @ms.jit
    def in_a_graph(x):
        return gradients(x)

    value, (dx, (dweight,)) = (in_a_graph if compiled else gradients)(ms.Tensor(x, ms.float32))

    def objective(x, weight):
        return (rms_norm(x, weight, 1e-3) * dout).sum()

    np.testing.assert_allclose(value.asnumpy(), objective(x, weight), rtol=1e-4)
    np.testing.assert_allclose(dx.asnumpy(), differences(lambda a: objective(a, weight), x), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dweight.asnumpy(), differences(lambda a: objective(x, a), weight), rtol=1e-3, atol=1e-4)


def differences(function, x, step=1e-5):
    """Return the gradient by central differences, in double precision."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def test_rms_norm_computes_in_one_type_and_gives_back_the_inputs():
    x = np.full((1, 4), 300.0, np.float16)  # whose squares fp16 does not hold
    y = RMSNorm(4)(ms.Tensor(x))
    assert y.dtype == ms.float16
    np.testing.assert_allclose(y.asnumpy(), 1.0, rtol=1e-3)


#: Two families whose attention is a lent kernel's, written otherwise than the core's.
FAMILIES = """
import sys
import numpy as np
import mindspore as ms
from mindspore import ops
from mf_cpu_backend.backend import CPUBackend
from mf_core import GPT2Config, GPT2LMHeadModel, PanguAlphaConfig, PanguAlphaHeadModel
calls = []
def lent(query, key, value, hidden, scale):
    calls.append((query.shape, key.shape, hidden.shape, str(hidden.dtype)))
    scores = ops.cast(ops.BatchMatMul(transpose_b=True)(query, key), ms.float32) * scale
    weights = ops.softmax(ops.masked_fill(scores, ops.broadcast_to(hidden, scores.shape), -1e9), -1)
    return ops.BatchMatMul()(ops.cast(weights, query.dtype), value)
CPUBackend.capability = lambda self, name: lent if name == "causal_attention" else None
ids = ms.Tensor(np.arange(1, 17).reshape(2, 8), ms.int32)
mask = ms.Tensor((np.arange(8) >= np.array([[3], [0]])).astype(np.int32))
for config, model in ((GPT2Config, GPT2LMHeadModel), (PanguAlphaConfig, PanguAlphaHeadModel)):
    for dtype, training in (("float16", False), ("float16", True), ("float32", False)):
        np.random.seed(0)
        sizes = dict(hidden_size=32, num_layers=2, num_heads=2, vocab_size=50, seq_length=8)
        made = model(config(**sizes, initializer_range=0.3, compute_dtype=dtype)).set_train(training)
        calls.clear()
        logits = made(ids, mask).asnumpy()
        if dtype == "float16" and not training:
            np.save(sys.argv[1] + "/" + config.__name__, logits)
            made(ids)
        print(config.__name__, dtype, training, sorted(set(calls)))
"""


def test_a_kernel_for_attention_serves_where_it_fits_and_gives_the_same(tmp_path):
    logits = {}
    for kernels in ("1", "0"):
        folder = tmp_path / kernels
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", FAMILIES, str(folder)], capture_output=True, text=True, timeout=120,
            env={**os.environ, "MF_KERNELS": kernels},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        size, masks = (2, 2, 8, 16), [(2, 1, 8, 8), (8, 8)]
        used = [(size, size, mask, "Bool") for mask in masks] if kernels == "1" else []
        assert done.stdout.splitlines() == [
            f"{name} {dtype} {training} {used if dtype == 'float16' and not training else []}"
            for name in ("GPT2Config", "PanguAlphaConfig")
            for dtype, training in (("float16", False), ("float16", True), ("float32", False))
        ]
        logits[kernels] = [np.load(folder / f"{name}.npy") for name in ("GPT2Config", "PanguAlphaConfig")]
    for own, general in zip(logits["1"], logits["0"], strict=True):
        close = 0.005 * np.abs(general).max()
        assert close > 0
        np.testing.assert_allclose(own[0, 3:], general[0, 3:], atol=close)  # the first three positions are padding
        np.testing.assert_allclose(own[1], general[1], atol=close)
