"""Passes of whole decoders by the native library, against numpy in double precision, in each form of a layer."""

from dataclasses import replace

import numpy as np
import pytest
from mf_cpu_backend import kernels

from mf_core.nn.decoder_pass import Decoder, Experts, FeedForward, Layer, Matrix, Norm, Rotary

pytestmark = pytest.mark.skipif(bool(kernels.unavailable()), reason=kernels.unavailable())

WIDTH, SIZE, VOCABULARY, CAPACITY, POSITIONS = 40, 10, 67, 48, 64


def bfloat16(x):
    """Return the upper halves of floats, rounded to the nearest."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class Maker:
    """Draws the parts of a decoder."""

    def __init__(self, seed, kind="f32", bias=False):
        self.random, self.kind, self.bias = np.random.default_rng(seed), kind, bias

    def floats(self, *shape, scale=1.0):
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def matrix(self, inner, outer, kind=None):
        kind, data = kind or self.kind, self.floats(outer, inner, scale=inner**-0.5)
        bias, scale = self.floats(outer) if self.bias else None, None
        if kind.startswith("inputs_first"):
            data = np.ascontiguousarray(data.T)
        if kind == "int8":
            scale = np.abs(data).max(1) / 127
            data = np.rint(data / scale[:, None]).astype(np.int8)
        if kind == "bfloat16":
            data = bfloat16(data)
        return Matrix(data, kind, inner, outer, scale, bias)

    def norm(self, width=WIDTH, kind="rms"):
        return Norm(kind, 1 + self.floats(width) / 4, 1e-5, self.floats(width) if kind == "layer" else None)

    def feed(self, inner=24, gated=True, **form):
        up = self.matrix(WIDTH, inner) if gated else None
        return FeedForward(self.matrix(WIDTH, inner), self.matrix(inner, WIDTH), up, **form)

    def rotary(self, pairs=SIZE // 2, interleaved=False):
        angles = np.outer(np.arange(POSITIONS), 10.0 ** -np.arange(pairs))
        return Rotary(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32), interleaved)

    def layer(self, heads=4, groups=2, apart=True, **form):
        parts = [heads * SIZE, groups * SIZE, groups * SIZE]
        inputs = tuple(self.matrix(WIDTH, part) for part in (parts if apart else [sum(parts)]))
        defaults = {"input_norm": self.norm(), "feed_norm": self.norm(), "rotary": self.rotary(), "feed": self.feed()}
        return Layer(inputs=inputs, output=self.matrix(heads * SIZE, WIDTH), heads=heads, groups=groups, size=SIZE,
                     scale=SIZE**-0.5, **{**defaults, **form})  # fmt: skip

    def decoder(self, layers, **form):
        table = self.matrix(WIDTH, VOCABULARY, "f32" if self.kind.startswith("inputs_first") else self.kind)
        table = replace(table, bias=None)
        return Decoder(table, tuple(layers), table, last_norm=self.norm(), **form)


# The reference ------------------------------------------------------------------------------------------------------


def values(m):
    data = m.data
    if m.kind == "bfloat16":
        data = (data.astype(np.uint32) << 16).view(np.float32)
    data = data.astype(np.float64)
    data = data.T if m.kind.startswith("inputs_first") else data
    return data if m.scale is None else data * m.scale[:, None]


def product(m, x):
    return x @ values(m).T + (0 if m.bias is None else m.bias)


def normed(n, x):
    if n is None:
        return x
    parts = x.reshape(*x.shape[:-1], -1, n.weight.size)
    if n.kind == "layer":
        parts = parts - parts.mean(-1, keepdims=True)
    parts = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + n.epsilon) * n.weight
    parts = parts if n.bias is None else parts + n.bias
    return parts.reshape(x.shape)


def erf(x):
    from math import erf

    return np.vectorize(erf)(x)


def fed(f, x):
    gate, up = product(f.gate, x), None if f.up is None else product(f.up, x)
    if f.activation == "clamped_swish":
        gate, up = np.minimum(gate, f.limit), np.clip(up, -f.limit, f.limit)
        return product(f.down, gate / (1 + np.exp(-f.beta * gate)) * (up + 1))
    active = {
        "gelu_tanh": lambda: gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3))) / 2,
        "swish": lambda: gate / (1 + np.exp(-f.beta * gate)), "gelu": lambda: gate * (1 + erf(gate / np.sqrt(2))) / 2,
        "relu": lambda: np.maximum(gate, 0), "relu_squared": lambda: np.maximum(gate, 0) ** 2,
    }[f.activation]()  # fmt: skip
    return product(f.down, active if up is None else active * up)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def mixed(e, x):
    logits = product(e.router, x)
    scores = 1 / (1 + np.exp(-logits)) if e.sigmoid else logits if e.softmax_after else softmax(logits)
    y = np.zeros_like(x)
    if e.shared is not None:
        y = fed(e.shared, x)
        if e.shared_gate is not None:
            y = y / (1 + np.exp(-product(e.shared_gate, x)))
    for index in np.ndindex(x.shape[:-1]):
        choosing = scores[index] + (0 if e.correction is None else e.correction)
        if e.groups > 1:
            groups = choosing.reshape(e.groups, -1)
            best = np.sort(groups, 1)[:, -2:].sum(1) if e.sigmoid else groups.max(1)
            hidden = np.argsort(-best)[e.chosen_groups :]
            groups[hidden] = -np.inf if e.sigmoid else 0
        chosen = np.argsort(-choosing, kind="stable")[: e.chosen]
        weights = scores[index][chosen]
        weights = softmax(weights) if e.softmax_after else weights
        weights = (weights / weights.sum() if e.normalized else weights) * e.scale
        y[index] += sum(weight * fed(e.experts[n], x[index]) for n, weight in zip(chosen, weights, strict=True))
    return y


def turned(r, x, positions):
    """Turn ``(B, S, n, D)``."""
    if r is None:
        return x
    pairs, x = r.cos.shape[1], x.copy()
    cos, sin = (table[positions][:, :, None] for table in (r.cos, r.sin))
    first, second = (np.s_[..., : 2 * pairs : 2], np.s_[..., 1 : 2 * pairs : 2]) if r.interleaved else (
        np.s_[..., :pairs], np.s_[..., pairs : 2 * pairs])  # fmt: skip
    a, b = x[first].copy(), x[second].copy()
    x[first], x[second] = a * cos - b * sin, b * cos + a * sin
    return x


def attended(spec, x, positions, cache, kept):
    """Return what attention gives for all tokens, (B, S, H * D); the cache is (keys, values) of all tokens before."""
    batch, length = positions.shape
    each = [product(m, x) for m in spec.inputs]
    heads, groups, size = spec.heads, spec.groups, spec.size
    q, k, v = each if len(each) == 3 else np.split(each[0], [heads * size, (heads + groups) * size], -1)
    if spec.by_head:
        grouped = each[0].reshape(batch, length, groups, heads // groups + 2, size)
        parts = grouped[..., :-2, :], grouped[..., -2, :], grouped[..., -1, :]
        q, k, v = (part.reshape(batch, length, -1) for part in parts)
    if spec.queries is not None:
        q = product(spec.inputs[0], spec.queries[positions].astype(np.float64))
    q, k = normed(spec.query_norm, q), normed(spec.key_norm, k)
    q, k = (turned(spec.rotary, part.reshape(batch, length, -1, size), positions) for part in (q, k))
    k, v = (part.reshape(batch, length, groups, size) for part in (k, v))
    cache[0], cache[1] = np.concatenate([cache[0], k], 1), np.concatenate([cache[1], v], 1)
    keys, vals = (np.repeat(part, heads // groups, 2) for part in cache)
    scores = np.einsum("bshd,bthd->bhst", q, keys) * spec.scale
    if spec.soft_cap:
        scores = spec.soft_cap * np.tanh(scores / spec.soft_cap)
    distance = np.arange(keys.shape[1]) - positions[:, None, :, None]
    if spec.slopes is not None:
        scores = scores + spec.slopes[:, None, None] * distance
    hidden = (distance > 0) | (distance <= -spec.window if spec.window else False)
    scores = np.where(hidden, -np.inf, scores)
    if spec.sinks is not None:
        sinks = np.broadcast_to(spec.sinks[:, None, None], (*scores.shape[:-1], 1))
        weights = softmax(np.concatenate([scores, sinks], -1))[..., :-1]
    else:
        weights = softmax(scores)
    return np.einsum("bhst,bthd->bshd", weights, vals).reshape(batch, length, -1)


def after(spec, x, positions, cache, kept):
    x = normed(spec.stream_norm, x)
    before, sums = (None, None), (spec.attention_norm, spec.output_norm)
    if not spec.norms_sums:
        before, sums = sums, before
    first = normed(spec.input_norm, x)
    given = normed(before[0], product(spec.output, attended(spec, first, positions, cache, kept)))
    hidden = normed(sums[0], (first if spec.normed_residual else x) + spec.residual_scale * given)
    feed = normed(spec.feed_norm, x if spec.parallel else hidden)
    if spec.parallel and spec.feed_norm is None:
        feed = first
    given = mixed(spec.feed, feed) if isinstance(spec.feed, Experts) else fed(spec.feed, feed)
    onto = feed if spec.normed_residual else hidden
    return normed(sums[1], onto + spec.residual_scale * normed(before[1], given))


def reference(spec, ids, positions, caches, kept):
    x = values(spec.embedding)[ids] * spec.embedding_scale
    if spec.positions is not None:
        x = x + spec.positions[positions]
    x = normed(spec.embedding_norm, x)
    for layer, cache in zip(spec.layers, caches, strict=True):
        x = after(layer, x, positions, cache, kept)
    logits = product(spec.head, normed(spec.last_norm, x[:, -kept:])) * spec.logit_scale
    return spec.logit_cap * np.tanh(logits / spec.logit_cap) if spec.logit_cap else logits


# The checks ---------------------------------------------------------------------------------------------------------


def compare(spec, lengths=(21, 1, 3, 9), kept=1, tolerance=2e-5):
    """Run several passes, each on what those before have put into the cache."""
    from mf_cpu_backend.decoder_pass import DecoderPass

    run, random, batch = DecoderPass(spec), np.random.default_rng(0), 2
    shapes = [(batch, layer.groups, CAPACITY, layer.size) for layer in spec.layers]
    keys, vals = ([np.full(shape, np.nan, np.float32) for shape in shapes] for _ in range(2))
    caches = [[np.zeros((batch, 0, layer.groups, layer.size))] * 2 for layer in spec.layers]
    start = 0
    for length in lengths:
        ids = random.integers(0, VOCABULARY, (batch, length), np.int32)
        positions = np.broadcast_to(np.arange(start, start + length, dtype=np.int32), ids.shape).copy()
        count = min(kept, length)
        got = run(ids, positions, positions, keys, vals, CAPACITY, count)
        want = reference(spec, ids, positions, caches, count)
        assert np.abs(got - want).max() <= tolerance * np.abs(want).max(), f"after {start} tokens, {length} more"
        start += length


@pytest.mark.parametrize("kind", ["f32", "inputs_first", "int8", "bfloat16"])
def test_form_that_weights_are_stored_in(kind):
    maker = Maker(1, kind, bias=True)
    compare(maker.decoder([maker.layer(), maker.layer(apart=kind != "inputs_first")]))


FORMS = {
    "gpt2": lambda m: {"rotary": None, "input_norm": m.norm(kind="layer"), "feed_norm": m.norm(kind="layer"),
                       "feed": m.feed(gated=False, activation="gelu_tanh"), "heads": 4, "groups": 4, "apart": False},
    "residuals are normed": lambda m: {"normed_residual": True},
    "gelu by erf": lambda m: {"feed": m.feed(activation="gelu")},
    "relu": lambda m: {"feed": m.feed(gated=False, activation="relu")},
    "relu squared": lambda m: {"feed": m.feed(gated=False, activation="relu_squared")},
    "swish with beta": lambda m: {"feed": m.feed(activation="swish", beta=1.702)},
    "clamped": lambda m: {"feed": m.feed(activation="clamped_swish", beta=1.702, limit=0.5)},
    "norms of each head": lambda m: {"query_norm": m.norm(SIZE), "key_norm": m.norm(SIZE)},
    "norms of all heads": lambda m: {"query_norm": m.norm(4 * SIZE), "key_norm": m.norm(2 * SIZE)},
    "four norms": lambda m: {"attention_norm": m.norm(), "output_norm": m.norm()},
    "norms after": lambda m: {"attention_norm": m.norm(), "output_norm": m.norm(), "input_norm": None,
                              "feed_norm": None},
    "sums are normed": lambda m: {"attention_norm": m.norm(kind="layer"), "output_norm": m.norm(kind="layer"),
                                  "input_norm": None, "feed_norm": None, "norms_sums": True},
    "a norm before the layer": lambda m: {"stream_norm": m.norm(kind="layer")},
    "inputs by head": lambda m: {"apart": False, "by_head": True, "groups": 2},
    "inputs by head, none shared": lambda m: {"apart": False, "by_head": True, "groups": 4},
    "parallel, two norms": lambda m: {"parallel": True},
    "parallel, one norm": lambda m: {"parallel": True, "feed_norm": None},
    "scaled residuals": lambda m: {"residual_scale": 0.3},
    "window": lambda m: {"window": 5},
    "soft cap": lambda m: {"soft_cap": 0.7},
    "soft cap and window": lambda m: {"soft_cap": 0.7, "window": 9},
    "alibi": lambda m: {"rotary": None, "slopes": np.abs(m.floats(4))},
    "sinks": lambda m: {"sinks": m.floats(4)},
    "part of a head turned": lambda m: {"rotary": m.rotary(2)},
    "neighbours turned": lambda m: {"rotary": m.rotary(interleaved=True)},
    "experts": lambda m: {"feed": Experts(m.matrix(WIDTH, 6), tuple(m.feed() for _ in range(6)), 2, normalized=True)},
    "experts, softmax after": lambda m: {
        "feed": Experts(m.matrix(WIDTH, 6), tuple(m.feed() for _ in range(6)), 2, softmax_after=True)
    },
    "experts, sigmoid and groups": lambda m: {
        "feed": Experts(m.matrix(WIDTH, 8), tuple(m.feed() for _ in range(8)), 3, normalized=True, sigmoid=True,
                        correction=m.floats(8), groups=4, chosen_groups=2, scale=2.5, shared=m.feed(16))
    },
    "experts, softmax and groups": lambda m: {
        "feed": Experts(m.matrix(WIDTH, 8), tuple(m.feed() for _ in range(8)), 3, groups=4, chosen_groups=2)
    },
    "experts, gated shared one": lambda m: {
        "feed": Experts(m.matrix(WIDTH, 4), tuple(m.feed() for _ in range(4)), 2, shared=m.feed(16),
                        shared_gate=m.matrix(WIDTH, 1))
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_form_of_a_layer(form):
    maker = Maker(sum(form.encode()))
    compare(maker.decoder([maker.layer(**FORMS[form](maker)), maker.layer(**FORMS[form](maker))]))


def test_what_is_beside_the_layers():
    maker = Maker(3)
    compare(
        maker.decoder([maker.layer()], embedding_scale=6.5, positions=maker.floats(POSITIONS, WIDTH),
                      embedding_norm=maker.norm(kind="layer"), logit_scale=0.25, logit_cap=0.5),
        kept=3,
    )  # fmt: skip


def test_rotary_tables_for_long_texts():
    maker = Maker(7)
    short, long = maker.rotary(), maker.rotary()
    tables = Rotary(*(np.concatenate([getattr(short, name), getattr(long, name) * 0.9]) for name in ("cos", "sin")))
    layer = maker.layer(rotary=tables)
    spec = maker.decoder([layer], long_from=20, long_offset=POSITIONS)
    compare(replace(spec, layers=(replace(layer, rotary=short),), long_from=0), lengths=(20,))
    from mf_cpu_backend.decoder_pass import DecoderPass

    ids, positions = np.full((1, 21), 3, np.int32), np.arange(21, dtype=np.int32)[None]
    caches = [[np.zeros((1, 2, CAPACITY, SIZE), np.float32)] for _ in range(2)]
    got = DecoderPass(spec)(ids, positions, positions, *caches, CAPACITY, 1)
    scaled = Rotary(short.cos * np.float32(0.9), short.sin * np.float32(0.9))
    want = reference(replace(spec, layers=(replace(layer, rotary=scaled),)), ids, positions,
                     [[np.zeros((1, 0, 2, SIZE))] * 2], 1)  # fmt: skip
    assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


def test_last_layer_with_queries_by_position():
    maker = Maker(4)
    last = maker.layer(queries=maker.floats(POSITIONS, WIDTH), rotary=None)
    compare(maker.decoder([maker.layer(rotary=None), last]), kept=2)


def test_padding_goes_to_the_last_slot():
    from mf_cpu_backend.decoder_pass import DecoderPass

    maker = Maker(5)
    spec = maker.decoder([maker.layer(), maker.layer()])
    run = DecoderPass(spec)

    def logits(ids, positions, slots):
        caches = [[np.zeros((len(ids), 2, CAPACITY, SIZE), np.float32) for _ in spec.layers] for _ in range(2)]
        return run(*(np.array(each, np.int32) for each in (ids, positions, slots)), *caches, CAPACITY, 1)

    alone = logits([[7, 8]], [[0, 1]], [[0, 1]])
    last = CAPACITY - 1
    padded = logits([[0, 0, 7, 8], [1, 2, 3, 4]], [[0, 0, 0, 1], [0, 1, 2, 3]], [[last, last, 0, 1], [0, 1, 2, 3]])
    assert np.abs(padded[0] - alone[0]).max() < 1e-5


def test_out_of_range_is_an_error():
    from mf_cpu_backend.decoder_pass import DecoderPass

    maker = Maker(6)
    spec = maker.decoder([maker.layer()])
    run = DecoderPass(spec)
    caches = [[np.zeros((1, 2, CAPACITY, SIZE), np.float32)] for _ in range(2)]
    for ids, position, slot in ((VOCABULARY, 0, 0), (-1, 0, 0), (0, CAPACITY, 0), (0, 0, CAPACITY), (0, 0, -1)):
        with pytest.raises(IndexError):
            run(*(np.array([[value]], np.int32) for value in (ids, position, slot)), *caches, CAPACITY, 1)
