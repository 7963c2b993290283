"""The structures of ``native/decoder.h`` and ``native/matrix.h``, filled from a decoder's description."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from mf_core.nn.decoder_pass import Decoder, Experts, FeedForward, Layer, Matrix, Norm

_POINTER, _INT, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float
_MATRIX_KINDS = {
    "inputs_first": 1, "f32": 2, "f32_rounded": 3, "inputs_first_rounded": 4, "int8": 5, "bfloat16": 6,
    "q8_0": 16, "q4_0": 17, "q4_1": 18, "q5_0": 19, "q5_1": 20, "q4_k": 21, "q5_k": 22, "q6_k": 23,
}  # fmt: skip
_ITEM_SIZES = {"int8": 1, "bfloat16": 2}
#: Kind -> numbers in a block, and its bytes.
BLOCKS = {
    "q8_0": (32, 34), "q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q4_k": (256, 144),
    "q5_k": (256, 176), "q6_k": (256, 210),
}  # fmt: skip
_NORM_KINDS = {"rms": 1, "layer": 2}
_ACTIVATIONS = {"gelu_tanh": 0, "swish": 1, "gelu": 2, "relu": 3, "relu_squared": 4, "clamped_swish": 5}


class MatrixStruct(ctypes.Structure):
    """``mf_matrix``."""

    _fields_ = (("data", _POINTER), ("scale", _POINTER), ("bias", _POINTER), ("inner", _LONG), ("outer", _LONG),
                ("kind", _INT), ("reserved", _INT))  # fmt: skip


class NormStruct(ctypes.Structure):
    """``mf_norm``."""

    _fields_ = (("weight", _POINTER), ("bias", _POINTER), ("width", _LONG), ("epsilon", _FLOAT), ("kind", _INT))


class RotaryStruct(ctypes.Structure):
    """``mf_rotary``."""

    _fields_ = (("cos", _POINTER), ("sin", _POINTER), ("rows", _LONG), ("pairs", _LONG), ("interleaved", _INT),
                ("reserved", _INT))  # fmt: skip


class FeedForwardStruct(ctypes.Structure):
    """``mf_feed_forward``."""

    _fields_ = (("gate", MatrixStruct), ("up", MatrixStruct), ("down", MatrixStruct), ("activation", _INT),
                ("reserved", _INT), ("beta", _FLOAT), ("limit", _FLOAT))  # fmt: skip


class ExpertsStruct(ctypes.Structure):
    """``mf_experts``."""

    _fields_ = (
        ("router", MatrixStruct), ("shared_gate", MatrixStruct), ("correction", _POINTER),
        ("experts", ctypes.POINTER(FeedForwardStruct)), ("shared", ctypes.POINTER(FeedForwardStruct)),
        ("count", _LONG), ("chosen", _LONG), ("groups", _LONG), ("chosen_groups", _LONG), ("sigmoid", _INT),
        ("normalized", _INT), ("scale", _FLOAT), ("softmax_after", _INT),
    )  # fmt: skip


class LayerStruct(ctypes.Structure):
    """``mf_layer``."""

    _fields_ = (
        *((name, NormStruct) for name in ("stream_norm", "input_norm", "query_norm", "key_norm", "feed_norm",
                                          "attention_norm", "output_norm")),
        ("inputs", MatrixStruct * 3), ("output", MatrixStruct), ("rotary", RotaryStruct), ("feed", FeedForwardStruct),
        ("experts", ExpertsStruct), ("slopes", _POINTER), ("sinks", _POINTER), ("keys", _POINTER), ("values", _POINTER),
        ("query_input", _POINTER), ("queries", _LONG), ("heads", _LONG), ("groups", _LONG), ("size", _LONG),
        ("window", _LONG), ("scale", _FLOAT), ("soft_cap", _FLOAT), ("residual_scale", _FLOAT), ("input_count", _INT),
        ("parallel", _INT), ("normed_residual", _INT), ("norms_sums", _INT), ("by_head", _INT),
    )  # fmt: skip


class DecoderStruct(ctypes.Structure):
    """``mf_decoder``."""

    _fields_ = (("layers", ctypes.POINTER(LayerStruct)), ("last_norm", NormStruct), ("head", MatrixStruct),
                ("count", _LONG), ("width", _LONG), ("logit_scale", _FLOAT), ("logit_cap", _FLOAT))  # fmt: skip


class PassStruct(ctypes.Structure):
    """``mf_pass``."""

    _fields_ = (("x", _POINTER), ("positions", _POINTER), ("slots", _POINTER), ("rotary_positions", _POINTER),
                ("out", _POINTER), ("batch", _LONG),
                ("length", _LONG), ("capacity", _LONG), ("kept", _LONG))  # fmt: skip


def address(array: np.ndarray | None, dtype: Any, *shape: int) -> int | None:
    """Return where an array begins; raise ValueError unless it is contiguous and of that type and shape."""
    if array is None:
        return None
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"an array is {array.dtype} {array.shape}, where {np.dtype(dtype)} {shape} is read")
    return array.ctypes.data


def matrix(m: Matrix | None) -> MatrixStruct:
    """Fill ``mf_matrix``; None: an absent one."""
    if m is None:
        return MatrixStruct()
    shape = (m.inner, m.outer) if m.kind.startswith("inputs_first") else (m.outer, m.inner)
    size = _ITEM_SIZES.get(m.kind, 4)
    if m.kind in BLOCKS:
        numbers, count = BLOCKS[m.kind]
        if m.inner % numbers:
            raise ValueError(f"rows of {m.inner} numbers are not of whole blocks of {numbers}")
        shape, size = (m.outer, m.inner // numbers * count), 1
    if m.data.shape != shape or m.data.itemsize != size or not m.data.flags.c_contiguous:
        raise ValueError(f"a matrix of the kind {m.kind} is {m.data.dtype} {m.data.shape}, where {shape} is read")
    return MatrixStruct(
        m.data.ctypes.data, address(m.scale, np.float32, m.outer), address(m.bias, np.float32, m.outer), m.inner,
        m.outer, _MATRIX_KINDS[m.kind],
    )  # fmt: skip


def norm(n: Norm | None, *widths: int) -> NormStruct:
    """Fill ``mf_norm``, of one of these widths; None: an absent one."""
    if n is None:
        return NormStruct()
    width = n.weight.size
    if width not in widths or (n.kind == "layer" and n.bias is None):
        raise ValueError(f"a norm has {width} weights, where {widths} fit")
    weight, bias = address(n.weight, np.float32, width), address(n.bias, np.float32, width)
    return NormStruct(weight, bias, width, n.epsilon, _NORM_KINDS[n.kind])


def feed_forward(f: FeedForward, width: int) -> FeedForwardStruct:
    """Fill ``mf_feed_forward``."""
    inner = f.gate.outer
    if f.gate.inner != width or f.down.inner != inner or f.down.outer != width:
        raise ValueError("the matrices of a feed-forward layer do not fit each other")
    if f.up is not None and (f.up.inner, f.up.outer) != (width, inner):
        raise ValueError("the matrices of a feed-forward layer do not fit each other")
    return FeedForwardStruct(
        matrix(f.gate), matrix(f.up), matrix(f.down), _ACTIVATIONS[f.activation], 0, f.beta, f.limit
    )


def experts(e: Experts, width: int) -> ExpertsStruct:
    """Fill ``mf_experts``."""
    count = len(e.experts)
    if not (e.router.outer == count >= e.chosen > 0 and count % e.groups == 0 and e.groups >= e.chosen_groups > 0):
        raise ValueError("the experts and their router do not fit each other")
    each = (FeedForwardStruct * count)(*(feed_forward(expert, width) for expert in e.experts))
    shared = None if e.shared is None else ctypes.pointer(feed_forward(e.shared, width))
    return ExpertsStruct(
        matrix(e.router), matrix(e.shared_gate), address(e.correction, np.float32, count), each, shared, count,
        e.chosen, e.groups, e.chosen_groups, e.sigmoid, e.normalized, e.scale, e.softmax_after,
    )  # fmt: skip


def layer(spec: Layer, width: int) -> LayerStruct:
    """Fill ``mf_layer``, but for the cache."""
    heads, groups, size = spec.heads, spec.groups, spec.size
    widths = (heads * size, groups * size, groups * size)
    made = tuple(m.outer for m in spec.inputs)
    if heads % groups or made not in ((sum(widths),), widths) or any(m.inner != width for m in spec.inputs):
        raise ValueError(f"the inputs of attention make {made}, not {widths}")
    if (spec.output.inner, spec.output.outer) != (heads * size, width):
        raise ValueError("the output of attention does not fit its heads")
    result = LayerStruct(
        stream_norm=norm(spec.stream_norm, width), input_norm=norm(spec.input_norm, width),
        query_norm=norm(spec.query_norm, size, heads * size),
        key_norm=norm(spec.key_norm, size, groups * size), attention_norm=norm(spec.attention_norm, width),
        feed_norm=norm(spec.feed_norm, width), output_norm=norm(spec.output_norm, width),
        inputs=(MatrixStruct * 3)(*map(matrix, spec.inputs)), output=matrix(spec.output),
        slopes=address(spec.slopes, np.float32, heads), sinks=address(spec.sinks, np.float32, heads), heads=heads,
        groups=groups, size=size, window=spec.window, scale=spec.scale, soft_cap=spec.soft_cap,
        residual_scale=spec.residual_scale, input_count=len(spec.inputs), parallel=spec.parallel,
        normed_residual=spec.normed_residual, norms_sums=spec.norms_sums, by_head=spec.by_head,
    )  # fmt: skip
    if isinstance(spec.feed, Experts):
        result.experts = experts(spec.feed, width)
    else:
        result.feed = feed_forward(spec.feed, width)
    if spec.rotary is not None:
        rows, pairs = spec.rotary.cos.shape
        if 2 * pairs > size:
            raise ValueError(f"{2 * pairs} numbers of a head of {size} cannot be turned")
        cos, sin = (address(table, np.float32, rows, pairs) for table in (spec.rotary.cos, spec.rotary.sin))
        result.rotary = RotaryStruct(cos, sin, rows, pairs, spec.rotary.interleaved)
    return result


def decoder(spec: Decoder, layers: Any) -> DecoderStruct:
    """Fill ``mf_decoder`` with layers that have been filled."""
    width = spec.embedding.inner
    return DecoderStruct(
        layers, norm(spec.last_norm, width), matrix(spec.head), len(spec.layers), width, spec.logit_scale,
        spec.logit_cap,
    )  # fmt: skip
