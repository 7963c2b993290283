"""The kernel of a whole layer: against numpy in double precision, in each of the forms that families have."""

import mindspore as ms
import numpy as np
import pytest
from mf_cpu_backend import kernels
from mindspore import Parameter, Tensor

from .test_cpu_kernels import (
    WEIGHTS,
    assert_close,
    attention_weights,
    beside,
    by_heads,
    gelu,
    kernel,
    nearest,
    random,
    threads,
)

__all__ = ["threads"]  # the fixture

pytestmark = pytest.mark.skipif(bool(kernels.unavailable()), reason=kernels.unavailable())

PLACES, EPSILON = 45, 1e-3


def wide(x):
    return None if x is None else x.astype(np.float64)


class Made:
    """A layer's arguments, and what it gives by numpy."""

    def __init__(self, batch, length, heads, groups, size, width, inner, weights, **form):
        self.batch, self.length, self.heads, self.groups, self.size = batch, length, heads, groups, size
        self.count, self.held = 0, weights
        self.beta, self.normed, self.asked = form.get("beta"), form.get("normed", False), form.get("asked")
        biases, rms = form.get("biases", True), form.get("rms", False)
        self.norms = [(self.draw(width) + 1, None if rms else self.draw(width)) for _ in range(2)]
        parts = [heads * size, groups * size, groups * size]
        shapes = [(width, n) for n in (parts if form.get("apart", False) else [sum(parts)])]
        shapes += [(heads * size, width), *[(width, inner)] * (1 + form.get("gated", False)), (inner, width)]
        self.projections = [self.project(*shape, biases) for shape in shapes]
        self.inputs = 3 if form.get("apart", False) else 1
        self.x = self.draw(batch, length, width)
        self.asking = None if self.asked is None else self.draw(batch, self.asked, width)
        self.cache = [self.draw(batch * groups * PLACES, size) for _ in range(2)]
        angles = self.draw(50, size // 2) if form.get("turned", False) else None
        self.rotary = None
        if angles is not None:
            positions = (np.arange(batch * length) * 7 % 50).astype(np.int32).reshape(batch, length)
            self.rotary = positions, np.cos(angles), np.sin(angles)
        here, queries = 20, self.asked or length
        self.bias = np.full((batch, 1, queries, PLACES), -6e4, np.float32)
        for row in range(batch):
            for i in range(queries):
                self.bias[row, 0, i, row * 7 : here + length - queries + i + 1] = 0
        rows = np.arange(batch * groups)[:, None] * PLACES
        self.slots = (rows + here + np.arange(length)).astype(np.int32).reshape(-1)

    def draw(self, *shape):
        self.count += 1
        return random(*shape, seed=self.count)

    def project(self, inner, width, biases):
        """Return the weight (in, out) in double precision, the bias, and the kernel's arguments."""
        weight, bias = self.draw(inner, width) / np.float32(inner**0.5), self.draw(width) if biases else None
        given = None if bias is None else Parameter(Tensor(bias))
        if self.held in WEIGHTS:
            values, stored = WEIGHTS[self.held](weight.T.copy())
            scale = (1 + self.draw(width) / 10) / (40 if self.held == "int8" else 1)
            return (wide(values) * scale[:, None]).T, bias, (stored, Parameter(Tensor(scale)), given, True, False)
        outputs_first, rounded = self.held.startswith("out, in"), self.held.endswith("rounded")
        stored = Parameter(Tensor(weight.T.copy() if outputs_first else weight))
        return wide(weight), bias, (stored, None, given, outputs_first, rounded)

    def arguments(self):
        given = [None if each is None else Tensor(each) for each in (self.x, self.asking, self.bias, self.slots)]
        self.keys, self.values = (Parameter(Tensor(cache.copy())) for cache in self.cache)
        norms = tuple(
            (Parameter(Tensor(weight)), None if bias is None else Parameter(Tensor(bias)), EPSILON)
            for weight, bias in self.norms
        )
        each = [arguments for _, _, arguments in self.projections]
        projections = tuple(each[: self.inputs]), each[self.inputs], tuple(each[self.inputs + 1 : -1]), each[-1]
        rotary = None if self.rotary is None else tuple(map(Tensor, self.rotary))
        return (*given, self.keys, self.values, norms, projections, rotary, self.beta, self.size**-0.5, self.normed)

    def norm(self, number, x):
        weight, bias = self.norms[number]
        apart = x if bias is None else x - x.mean(-1, keepdims=True)
        y = apart / np.sqrt((apart**2).mean(-1, keepdims=True) + EPSILON) * weight
        return y if bias is None else y + bias

    def apply(self, number, x):
        weight, bias, (*_, rounded) = self.projections[number]
        rows = self.batch * self.length if 0 <= number < self.inputs else x.size // x.shape[-1]
        if rounded and rows > 8:
            x, weight = nearest(x.astype(np.float32)), nearest(weight.astype(np.float32))
        return x @ weight if bias is None else x @ weight + bias

    def turn(self, x):
        if self.rotary is None:
            return x
        positions, cos, sin = self.rotary
        pairs = x.reshape(self.batch, self.length, -1, 2, self.size // 2)
        turned = (pairs[..., 0, :] + 1j * pairs[..., 1, :]) * (wide(cos) + 1j * sin)[positions][:, :, None]
        return np.stack((turned.real, turned.imag), 3).reshape(x.shape)

    def wanted(self):
        """Return the layer's output, and the cache after it."""
        x = wide(self.x)
        normed = self.norm(0, x)
        if self.inputs == 1:
            ends = np.cumsum([self.heads * self.size, self.groups * self.size])
            query, key, value = np.split(self.apply(0, normed), ends, -1)
        else:
            query = self.apply(0, normed if self.asking is None else wide(self.asking))
            key, value = self.apply(1, normed), self.apply(2, normed)
        query, key = self.turn(query), self.turn(key)
        caches = [wide(cache) for cache in self.cache]
        for cache, new in zip(caches, (key, value), strict=True):
            cache[self.slots] = by_heads(new, self.groups).reshape(-1, self.size)
        keys, values = (
            cache.reshape(self.batch, self.groups, PLACES, self.size).repeat(self.heads // self.groups, 1)
            for cache in caches
        )
        weights = attention_weights(by_heads(query, self.heads), keys, self.bias, self.size**-0.5)
        y = self.apply(self.inputs, beside(weights @ values))
        y += (normed if self.normed else x)[:, self.length - y.shape[1] :]
        again = self.norm(1, y)
        inner = self.apply(self.inputs + 1, again)
        inner = gelu(inner) if self.beta is None else inner / (1 + np.exp(-self.beta * inner))
        if len(self.projections) == self.inputs + 4:
            inner = inner * self.apply(self.inputs + 2, again)
        return (again if self.normed else y) + self.apply(-1, inner), caches


FORMS = {
    "GPT": {},
    "GPT, normed residuals": {"normed": True},
    "queries, keys and values apart": {"apart": True, "beta": 1.702},
    "queries of something else": {"apart": True, "beta": 1.702, "asked": 1, "normed": True},
    "Llama": {"apart": True, "rms": True, "biases": False, "turned": True, "gated": True, "beta": 1.0},
    "all beside each other": {"rms": True, "turned": True, "gated": True},
}

#: Rows of a batch, tokens, heads, groups, their size, width, inner width.
SIZES = [
    (1, 1, 4, 4, 64, 256, 1024), (2, 4, 6, 2, 18, 77, 301), (3, 2, 3, 1, 2, 5, 3), (1, 9, 2, 2, 34, 600, 30),
    (2, 22, 4, 2, 18, 77, 301), (1, 25, 3, 3, 16, 48, 450),
]  # fmt: skip


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("weights", ["in, out", "out, in", "int8", "bfloat16", "in, out, rounded", "out, in, rounded"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_decoder_layer(sizes, form, weights):
    made = Made(*sizes, weights, **FORMS[form])
    found = kernel("decoder_layer")(*made.arguments()).asnumpy()
    wanted, caches = made.wanted()
    assert found.shape == wanted.shape
    apart = 1e-3 if weights.endswith("rounded") else 3e-5  # near a border, rounding may go either way
    assert_close(found, wanted, apart)
    for found, wanted in zip((made.keys, made.values), caches, strict=True):
        assert_close(found.asnumpy(), wanted, apart)


def changed(arguments, place, value):
    return (*arguments[:place], value, *arguments[place + 1 :])


def test_what_does_not_fit_is_an_error():
    own, made = kernel("decoder_layer"), Made(2, 3, 4, 2, 8, 32, 48, "in, out", **FORMS["Llama"])
    good = made.arguments()
    x, _, bias, slots, keys, values, norms, projections, (positions, cos, sin), *_ = good
    inputs, output, ups, down = projections
    narrow = Made(2, 3, 4, 2, 8, 32, 40, "in, out", **FORMS["Llama"]).arguments()[7]
    other = Parameter(Tensor(np.zeros((32, 48), np.float16)))
    bad = [
        (0, x[:, :, :16]), (0, x.astype(ms.float16)), (1, x), (2, bias[:, :, :2]), (2, bias.reshape((2, 3, -1))),
        (3, slots + 2 * 2 * PLACES), (3, slots[:-1]), (3, slots.astype(ms.int64)), (4, values.astype(ms.float16)),
        (4, keys[:-1]), (5, values.reshape((-1, 4))), (6, (norms[0], (Tensor(np.ones(31, np.float32)), None, 1e-3))),
        (7, (inputs[:1], output, ups, down)), (7, (inputs, output, ups, narrow[3])),
        (7, (inputs, output, ups[:1] * 3, down)), (7, (inputs, output, ((other, None, None, False, False),) * 2, down)),
        (7, (inputs[::-1], output, ups, down)), (7, (inputs, output, (ups[0], narrow[2][0]), down)),
        (8, (positions + 50, cos, sin)), (8, (positions, cos, sin[:-1])),
        (8, (positions[:1], cos, sin)), (8, (positions, cos[:, :3], sin[:, :3])),
    ]  # fmt: skip
    for place, value in bad:
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            own(*changed(good, place, value)).asnumpy()
    assert_close(own(*good).asnumpy(), made.wanted()[0], 3e-5)  # and the process goes on
