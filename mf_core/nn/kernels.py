"""Fused kernels that a device backend may have, by name; where it has none, the layers' own operators serve.

A backend offers them by :meth:`mf_core.DeviceBackend.capability`. Each is a function of this signature, with a gradient
where one is said, that works in compiled graphs and outside:

``causal_attention(query, key, value, hidden, scale) -> Tensor``
    ``softmax(query @ key.T * scale) @ value`` over the keys that are not hidden, softmax in fp32. ``query`` is
    ``(B, H, S, D)``, ``key`` and ``value`` are ``(B, H, T, D)``, all fp16 or bf16, D a multiple of 16; ``hidden`` is
    ``(B, 1, S, T)`` or ``(S, T)`` bool, True where a query may not look; ``scale`` is a number. Returns
    ``(B, H, S, D)`` in the query's type. Differentiable in query, key and value. A row of which everything is hidden
    may hold anything finite.

``rms_norm(x, weight, epsilon) -> Tensor``
    ``x / sqrt(mean(x ** 2) + epsilon) * weight`` over the last axis. ``x`` is ``(…, N)`` and ``weight`` ``(N,)``, of
    one type; ``epsilon`` is a number. Differentiable in both.

``fused_adamw(finite, weights, firsts, seconds, gradients, factor, number, rate, beta1, beta2, epsilon, decays)``
    One AdamW update in place (Loshchilov and Hutter, 2019, algorithm 2) of parameters, tuples of which are ``weights``,
    ``firsts`` and ``seconds``, fp32 as ``gradients`` and of their shapes:
    ``weight -= rate * (decay * weight + m / (sqrt(v) + epsilon))`` with ``m = first / (1 - beta1 ** number)`` and
    ``v = second / (1 - beta2 ** number)``, for ``gradient * factor``. Nothing changes unless ``finite``, a bool scalar
    on the device, as are the fp32 ``factor``, ``number``, from 1, and ``rate``; the others are numbers, ``decays`` one
    for each. Returns what is there when the update has been made: what reads the weights after it in the same graph has
    to depend on that.

``sum_of_squares(arrays) -> Tensor``
    Of all numbers of some fp32 arrays together: ``(1,)``, fp32.

``layer_norm(x, weight, bias, epsilon) -> Tensor``
    ``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the last axis. ``x`` is ``(…, N)``, ``weight`` and
    ``bias`` ``(N,)``, all fp32; ``epsilon`` is a number. Differentiable in the three.

``bias_add(x, bias) -> Tensor``
    ``x + bias`` for ``x`` ``(N, M)`` and ``bias`` ``(M,)``, fp32. Differentiable in both.

``softmax(x) -> Tensor``
    Over the last axis, fp32. Differentiable.

``gelu(x) -> Tensor``
    ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))`` of each number; fp32. Differentiable.

``swish(x, beta) -> Tensor``
    ``x * sigmoid(beta * x)`` of each number; fp32. ``beta`` is a number. Differentiable in x.

``rotary(x, position_ids, cos, sin) -> Tensor``
    Each pair of numbers ``i`` and ``i + D / 2`` of each head turned by its angle: for ``x`` ``(B, S, H * D)``,
    positions ``(B, S)`` int32, and cosines and sines ``(L, D / 2)`` of the angles at each position. All fp32 but the
    positions. Differentiable in x.

``cross_entropy(logits, labels) -> Tensor``
    ``log(sum(exp(logits))) - logits[label]`` of each row: ``(N,)`` fp32 for logits ``(N, V)`` fp32 and labels ``(N,)``
    int32. Differentiable in the logits.

``self_attention(query, key, value, bias, num_heads, scale) -> Tensor``
    ``softmax(query @ key.T * scale + bias) @ value`` for each of the heads in ``query``, ``(B, S, H * D)``, in its
    shape. ``key`` and ``value`` are ``(B, T, G * D)``; G divides H: so many heads share a key. ``bias`` is
    ``(B or 1, 1, S, T)``, 0 where a query may look and -6e4 elsewhere; ``num_heads`` is H; ``scale`` is a number. All
    fp32. Differentiable in query, key and value. A query from which everything is hidden may see anything finite.

``cached_attention(query, key, value, bias, slots, keys, values, scale) -> Tensor``
    A pass of decoding. Puts ``key`` and ``value``, ``(B, T, G * D)``, into the slots ``slots``, ``(B * G * T,)``
    int32, of the parameters ``keys`` and ``values``, ``(B * G * C, D)``, in place, and returns ``softmax(query @ keys.T
    * scale + bias) @ values`` for each of the heads in ``query``, ``(B, S, H * D)``, in its shape. G divides H.
    ``bias`` is ``(B, 1, S, C)``, as above; ``scale`` is a number. All fp32 but the slots.

``write_cache(cache, slots, new) -> Tensor``
    Puts ``new``, ``(N, D)``, into the slots ``slots``, ``(N,)`` int32, of the parameter ``cache``, ``(P, D)``, in
    place, and returns all of it. All fp32 but the slots.

``linear(x, weight, bias) -> Tensor``
    ``x @ weight + bias``: ``x`` is ``(N, K)``, ``weight`` ``(K, M)``, ``bias`` ``(M,)`` or None, all fp32.
    Differentiable in all.

``linear_outputs_first(x, weight, bias) -> Tensor``
    The same with ``weight`` ``(M, K)``.

``bfloat16_linear(x, weight, bias) -> Tensor``, ``bfloat16_linear_outputs_first(x, weight, bias) -> Tensor``
    The same two, of what is rounded to the nearest bfloat16 first, in the backward pass too; sums are fp32, and so are
    all arrays. Products of few rows may be exact instead.

``weight_only_linear(x, weight, scale, bias) -> Tensor``
    ``x @ (weight * scale).T + bias``. ``x`` is ``(N, K)`` fp32; ``weight`` is ``(M, K)`` int8 or bf16,
    ``scale`` ``(M,)``, one of each of its rows, and ``bias`` ``(M,)``, both fp32. Returns ``(N, M)`` fp32.

``weight_only_rows(ids, weight, scale) -> Tensor``
    Rows of ``weight * scale``: ``(…, K)`` fp32 for ``ids``, ``(…)`` int32, with the same weight and scale.

``decoder_pass(decoder) -> Callable``
    Whole passes of a decoder over its cache, outside of graphs. ``decoder`` is a
    :class:`mf_core.nn.decoder_pass.Decoder`, whose arrays stay where they are for as long as the result is used. That
    is called as ``run(ids, positions, slots, keys, values, capacity, kept)`` with numpy arrays: ids, positions, slots
    ``(B, S)`` int32, where a slot is where in its row of the cache a token goes, and each layer's keys and values
    ``(B, G, C, D)`` fp32, which it writes to. A token attends to the slots up to its position, within the layer's
    window. Where the decoder has ``long_from``, ``is_long`` is given too, ``(B,)`` bool: the rows whose rotary
    positions are those of long texts. Returns the logits of the last tokens, ``(B, kept, V)`` fp32. Its attribute
    ``spec`` is the decoder.

Environment variables:
    MF_KERNELS: ``0`` turns all of them off.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from ..backends.base import get_backend
from ..errors import BackendError

#: The names, in the order above.
NAMES = (
    "causal_attention", "rms_norm", "fused_adamw", "sum_of_squares", "layer_norm", "bias_add", "softmax", "gelu",
    "swish", "rotary", "cross_entropy", "self_attention", "cached_attention", "write_cache", "linear",
    "linear_outputs_first", "bfloat16_linear", "bfloat16_linear_outputs_first", "weight_only_linear",
    "weight_only_rows", "decoder_pass",
)  # fmt: skip

logger = logging.getLogger("mf_core")

_said: set[str] = set()


def kernel(name: str) -> Callable[..., Any] | None:
    """Return the kernel of the backend in use; None: it has none, or they are turned off.

    Which it is goes to the log at level INFO, once for each name.

    Args:
        name: One of :data:`NAMES`.

    Raises:
        ValueError: It is none of them.
    """
    if name not in NAMES:
        raise ValueError(f"there is no kernel {name!r}; there are {', '.join(NAMES)}")
    backend, off = get_backend(), _turned_off()
    found = None if off else backend.capability(name)
    if name not in _said:
        _said.add(name)
        own = f"the {backend.name} backend's" if found else "MindSpore's operators"
        why = "turned off by MF_KERNELS=0" if off else own
        logger.info("%s: %s", name, why)
    return found


def product_kernel(dtype: str, *, outputs_first: bool) -> Callable[..., Any] | None:
    """Return the kernel of a product that is computed in ``dtype``, with a weight that is stored so, or None.

    Raises:
        BackendError: The backend has no operators of the type, and the kernel is not there.
    """
    backend = get_backend()
    rounds = backend.activation_dtype(dtype) != dtype
    found = kernel(f"{'bfloat16_' if rounds else ''}linear{'_outputs_first' if outputs_first else ''}")
    if rounds and found is None:
        raise BackendError(
            f"the {backend.name} backend computes in {dtype} by its kernels alone", value=dtype,
            why="they are turned off by MF_KERNELS=0" if _turned_off() else "they are not there",
            hint=f"compute_dtype={backend.default_dtype!r}, or see `mf doctor --backend {backend.name}`",
        )
    return found


def _turned_off() -> bool:
    return os.environ.get("MF_KERNELS") == "0"


def in_use() -> frozenset[str]:
    """Return the names of the kernels that the backend in use has; none where they are turned off."""
    return frozenset(name for name in NAMES if kernel(name))
