"""MindSpore's fused operators for Ascend, under the names and with the meanings of :mod:`mf_core.nn.kernels`.

CANN has them for the Atlas A2 and A3. They work in compiled graphs and outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import Tensor, ops
from mindspore.ops.auto_generate import AdamW

#: "The whole mask is given", whatever its form.
_WHOLE_MASK = 1

_ADAMW = AdamW()


def causal_attention(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, scale: float) -> Tensor:
    """FlashAttention (Dao et al., 2022): CANN's ``FlashAttentionScore``, with its gradient."""
    return ops.flash_attention_score(
        query, key, value, query.shape[1], attn_mask=hidden, scalar_value=scale, input_layout="BNSD",
        sparse_mode=_WHOLE_MASK,
    )  # fmt: skip


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """CANN's ``RmsNorm``, with its gradient."""
    return ops.rms_norm(x, weight, epsilon)[0]


def fused_adamw(
    finite: Tensor, weights: tuple[Any, ...], firsts: tuple[Any, ...], seconds: tuple[Any, ...],
    gradients: tuple[Tensor, ...], factor: Tensor, number: Tensor, rate: Tensor,
    beta1: float, beta2: float, epsilon: float, decays: tuple[float, ...],
) -> Tensor:  # fmt: skip
    """CANN's ``ApplyAdamWV2``, which adds one to the number of the update that it is given.

    It takes the rate as a number, which is brought to the host for that, once a parameter.
    """
    if finite:
        earlier = (number - 1.0).reshape((1,))
        for i in range(len(weights)):
            _ADAMW(
                weights[i], firsts[i], seconds[i], seconds[i], gradients[i] * factor, earlier, float(rate),
                beta1, beta2, decays[i], epsilon, False, False,
            )  # fmt: skip
    return number


KERNELS: dict[str, Callable[..., Any]] = {
    "causal_attention": causal_attention,
    "fused_adamw": fused_adamw,
    "rms_norm": rms_norm,
}
