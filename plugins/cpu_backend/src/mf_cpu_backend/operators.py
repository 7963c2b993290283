"""MindSpore's view of the native kernels: each one's operator, with the shapes that it takes and gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from mindspore import Tensor, ops
from mindspore import dtype as mstype
from mindspore.ops.signature import make_sig, sig_rw

from .decoder_pass import DecoderPass
from .kernels import library

_LIBRARY = library()[1]
_NUMBERS = itertools.count()


def _operator(
    name: str, shape: Callable[..., Any], dtype: Callable[..., Any], gradient: Callable[..., Any] | None = None
) -> Any:
    operator = ops.Custom(f"{_LIBRARY}:{name}", out_shape=shape, out_dtype=dtype, func_type="aot", bprop=gradient)
    # MindSpore takes two with the same attributes for one, whatever they infer and however they are differentiated.
    operator.add_prim_attr("number", next(_NUMBERS))
    return operator


def _like_first(first: Any, *_: Any) -> Any:
    return first


_gelu_gradient = _operator("mf_gelu_gradient", _like_first, _like_first)
_cross_entropy_gradient = _operator("mf_cross_entropy_gradient", _like_first, _like_first)
_column_sums = _operator("mf_column_sums", lambda x, bias: bias, _like_first)


def _linears(kind: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Return products with weights whose inputs come first, and whose outputs do.

    Args:
        kind: What the names of the library's operators begin with.
    """

    def inputs_first(gradient: Callable[..., Any] | None = None) -> Any:
        return _operator(f"mf_{kind}linear", lambda x, weight, *_: (x[0], weight[1]), _like_first, gradient)

    def outputs_first(gradient: Callable[..., Any] | None = None) -> Any:
        name = f"mf_{kind}linear_outputs_first"
        return _operator(name, lambda x, weight, *_: (x[0], weight[0]), _like_first, gradient)

    product, product_outputs_first = inputs_first(), outputs_first()
    product_of_columns = _operator(f"mf_{kind}product_of_columns", lambda x, y: (x[1], y[1]), _like_first)

    def backward(x: Tensor, weight: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return product_outputs_first(dout, weight), product_of_columns(x, dout)

    def backward_outputs_first(x: Tensor, weight: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return product(dout, weight), product_of_columns(dout, x)

    def backward_biased(
        x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return (*backward(x, weight, out, dout), _column_sums(dout, bias))

    def backward_outputs_first_biased(
        x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return (*backward_outputs_first(x, weight, out, dout), _column_sums(dout, bias))

    plain, biased = inputs_first(backward), inputs_first(backward_biased)
    plain_outputs_first = outputs_first(backward_outputs_first)
    biased_outputs_first = outputs_first(backward_outputs_first_biased)

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return plain(x, weight) if bias is None else biased(x, weight, bias)

    def linear_outputs_first(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return plain_outputs_first(x, weight) if bias is None else biased_outputs_first(x, weight, bias)

    return linear, linear_outputs_first


_linear, _linear_outputs_first = _linears("")
_bfloat16_linear, _bfloat16_linear_outputs_first = _linears("bfloat16_")
_layer_norm_gradient = _operator(
    "mf_layer_norm_gradient", lambda x, weight, *_: (x, weight, weight), lambda x, *_: (x, x, x)
)
_softmax_gradient = _operator("mf_softmax_gradient", _like_first, _like_first)


def _layer_norm_backward(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: Tensor, out: tuple[Tensor, ...], dout: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    dx, dweight, dbias = _layer_norm_gradient(x, weight, out[1], out[2], dout[0])
    return dx, dweight, dbias, ops.ZerosLike()(epsilon)


def _bias_add_backward(x: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
    return dout, _column_sums(dout, bias)


def _softmax_backward(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
    return (_softmax_gradient(out, dout),)


_self_attention_gradient = _operator(
    "mf_self_attention_gradient", lambda query, key, value, *_: (query, key, value), lambda query, *_: (query,) * 3
)


def _self_attention_backward(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: Tensor, scale: Tensor, out: Tensor, dout: Tensor
) -> tuple[Tensor, ...]:
    dquery, dkey, dvalue = _self_attention_gradient(query, key, value, bias, heads, scale, dout)
    zeros = ops.ZerosLike()
    return dquery, dkey, dvalue, zeros(bias), zeros(heads), zeros(scale)


_rms_norm_gradient = _operator(
    "mf_rms_norm_gradient", lambda x, weight, *_: (x, weight), lambda x, *_: (x, x)
)
_swish_gradient = _operator("mf_swish_gradient", _like_first, _like_first)
_rotary_gradient = _operator("mf_rotary_gradient", _like_first, _like_first)


def _rms_norm_backward(
    x: Tensor, weight: Tensor, epsilon: Tensor, out: tuple[Tensor, ...], dout: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    dx, dweight = _rms_norm_gradient(x, weight, out[1], dout[0])
    return dx, dweight, ops.ZerosLike()(epsilon)


def _swish_backward(x: Tensor, beta: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
    return _swish_gradient(x, beta, dout), ops.ZerosLike()(beta)


def _rotary_backward(
    x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, out: Tensor, dout: Tensor
) -> tuple[Tensor, ...]:
    zeros = ops.ZerosLike()
    return _rotary_gradient(dout, positions, cos, sin), zeros(positions), zeros(cos), zeros(sin)


def _gelu_backward(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
    return (_gelu_gradient(x, dout),)


def _cross_entropy_backward(
    logits: Tensor, labels: Tensor, out: tuple[Tensor, Tensor], dout: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    return _cross_entropy_gradient(logits, labels, out[1], dout[0]), ops.ZerosLike()(labels)


_gelu = _operator("mf_gelu", _like_first, _like_first, _gelu_backward)
_cross_entropy = _operator(
    "mf_cross_entropy", lambda logits, labels: (labels, labels), lambda logits, labels: (logits, logits),
    _cross_entropy_backward,
)  # fmt: skip
_layer_norm = _operator(
    "mf_layer_norm", lambda x, *_: (x, x[:-1], x[:-1]), lambda x, *_: (x, x, x), _layer_norm_backward
)
_rms_norm = _operator("mf_rms_norm", lambda x, *_: (x, x[:-1]), lambda x, *_: (x, x), _rms_norm_backward)
_swish = _operator("mf_swish", _like_first, _like_first, _swish_backward)
_rotary = _operator("mf_rotary", _like_first, _like_first, _rotary_backward)
_bias_add = _operator("mf_bias_add", _like_first, _like_first, _bias_add_backward)
_softmax = _operator("mf_softmax", _like_first, _like_first, _softmax_backward)
_weight_only_linear = _operator(
    "mf_weight_only_linear", lambda x, weight, scale, bias: (*x[:-1], weight[0]), _like_first
)
_weight_only_rows = _operator(
    "mf_weight_only_rows", lambda ids, weight, scale: (*ids, weight[1]), lambda ids, weight, scale: scale
)
_write_cache = _operator("mf_write_cache", _like_first, _like_first)
_sum_of_squares = _operator("mf_sum_of_squares", lambda *_: (1,), _like_first)
_adamw = _operator("mf_adamw", lambda *_: (1,), lambda finite, weight, *_: weight)
# What it writes it is to be given itself: of a parameter that is read alone, MindSpore may hand on a copy.
_adamw.add_prim_attr("side_effect_mem", True)
_adamw.set_signatures(
    tuple(make_sig(f"input{i}", sig_rw.RW_WRITE if i in (1, 2, 3) else sig_rw.RW_READ) for i in range(9))
)
_cached_attention = _operator("mf_cached_attention", _like_first, _like_first)
_self_attention = _operator("mf_self_attention", _like_first, _like_first, _self_attention_backward)


def gelu(x: Tensor) -> Tensor:
    """One pass forward and one back, where operators would make six and more."""
    return _gelu(x)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Keep a number a row for the gradient, which is made of the logits again."""
    losses, _ = _cross_entropy(logits, labels)
    return losses


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Keep two numbers a row for the gradient."""
    y, _, _ = _layer_norm(x, weight, bias, Tensor([epsilon], mstype.float32))
    return y


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Keep a number a row for the gradient. Numbers of 16 bits are widened for it."""
    wide, wide_weight = ops.cast(x, mstype.float32), ops.cast(weight, mstype.float32)
    y, _ = _rms_norm(wide, wide_weight, Tensor([epsilon], mstype.float32))
    return ops.cast(y, x.dtype)


def swish(x: Tensor, beta: float) -> Tensor:
    """One pass forward and one back."""
    return _swish(x, Tensor([beta], mstype.float32))


def rotary(x: Tensor, position_ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One pass forward, and one back, which turns the other way."""
    return _rotary(x, position_ids, cos, sin)


def bias_add(x: Tensor, bias: Tensor) -> Tensor:
    """Keep nothing for the gradient."""
    return _bias_add(x, bias)


def softmax(x: Tensor) -> Tensor:
    """Keep what is returned for the gradient."""
    return _softmax(x)


def weight_only_linear(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Read the weight once for a few rows, and lay it out for many."""
    return _weight_only_linear(x, weight, scale, bias)


def weight_only_rows(ids: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Widen a few rows. An operator of our own also because MindSpore's, beside one, copies all of the weight first."""
    return _weight_only_rows(ids, weight, scale)


def write_cache(cache: Any, slots: Tensor, new: Tensor) -> Tensor:
    """Write in place behind MindSpore's back: where it sees parameters change, it copies others to be on the safe side.

    The result is a copy, since MindSpore takes it for a tensor like others.
    """
    return _write_cache(cache, slots, new)


def sum_of_squares(arrays: tuple[Tensor, ...]) -> Tensor:
    """Sum in blocks of one size, so that the result is that of any number of threads."""
    return _sum_of_squares(*arrays)


def fused_adamw(
    finite: Tensor, weights: tuple[Any, ...], firsts: tuple[Any, ...], seconds: tuple[Any, ...],
    gradients: tuple[Tensor, ...], factor: Tensor, number: Tensor, rate: Tensor,
    beta1: float, beta2: float, epsilon: float, decays: tuple[float, ...],
) -> tuple[Tensor, ...]:  # fmt: skip
    """Write in place, declared to MindSpore."""
    done: tuple[Tensor, ...] = ()
    for i in range(len(weights)):
        settings = Tensor([beta1, beta2, epsilon, decays[i]], mstype.float32)
        updated = _adamw(finite, weights[i], firsts[i], seconds[i], gradients[i], factor, number, rate, settings)
        done = done + (updated,)
    return done


def self_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, num_heads: int, scale: float
) -> Tensor:
    """Work in blocks of queries, forward and back: no scores are kept (Dao et al., 2022), few are stored at a time."""
    heads = Tensor([num_heads], mstype.int32)
    return _self_attention(query, key, value, bias, heads, Tensor([scale], mstype.float32))


def cached_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, slots: Tensor, keys: Tensor, values: Tensor, scale: float
) -> Tensor:
    """Look at no more of the cache than the bias shows."""
    return _cached_attention(query, key, value, bias, slots, keys, values, Tensor([scale], mstype.float32))


KERNELS: dict[str, Callable[..., Any]] = {
    "gelu": gelu,
    "cross_entropy": cross_entropy,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "swish": swish,
    "rotary": rotary,
    "bias_add": bias_add,
    "softmax": softmax,
    "linear": _linear,
    "linear_outputs_first": _linear_outputs_first,
    "bfloat16_linear": _bfloat16_linear,
    "bfloat16_linear_outputs_first": _bfloat16_linear_outputs_first,
    "weight_only_linear": weight_only_linear,
    "weight_only_rows": weight_only_rows,
    "self_attention": self_attention,
    "cached_attention": cached_attention,
    "write_cache": write_cache,
    "sum_of_squares": sum_of_squares,
    "fused_adamw": fused_adamw,
    "decoder_pass": DecoderPass,
}
