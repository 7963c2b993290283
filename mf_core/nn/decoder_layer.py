"""What a family's layer is made of, so that a kernel of the backend's may do all of it at once when generating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from .activations import FastGelu, GeluTanh, Silu
from .attention import Attention
from .kernels import kernel
from .layers import LayerNorm, Linear
from .norms import RMSNorm
from .rotary import Rotary
from .weight_only import WeightOnlyLinear


@dataclass(frozen=True)
class LayerParts:
    """The cells of a layer that computes ``y = x + output(attention(query_key_value(norm(x))))`` and, with the second
    norm, ``y + down(activation(up(norm(y))))``.

    Attributes:
        norms: The norms before attention and before the feed-forward layers.
        query_key_value: A linear layer that makes queries, keys and values beside each other, or three.
        attention: What is between these and ``output``.
        output: The linear layer after attention.
        up: The linear layers that make the inner numbers: one, or a gate, which goes through the activation, and what
            it is multiplied by.
        activation: Of the inner numbers.
        down: The linear layer after these.
        scale: Of the scores, usually ``1 / sqrt(D)``.
        softmax_dtype: Type of the softmax.
        rotary: Turns queries and keys; None: they stay as they are.
        normed_residual: Whether what the norms give is added, in place of what they are given.
    """

    norms: tuple[nn.Cell, nn.Cell]
    query_key_value: tuple[nn.Cell, ...]
    attention: Attention
    output: nn.Cell
    up: tuple[nn.Cell, ...]
    activation: nn.Cell
    down: nn.Cell
    scale: float
    softmax_dtype: Any
    rotary: Rotary | None = None
    normed_residual: bool = False

    @property
    def projections(self) -> tuple[nn.Cell, ...]:
        """All linear layers."""
        return (*self.query_key_value, self.output, *self.up, self.down)


class DecoderLayer(nn.Cell):
    """Base of a family's layer: attention and feed-forward layers, each after a norm and around a residual.

    A subclass says what it is made of (:meth:`parts`), and leaves a pass that :meth:`can_fuse` to :meth:`fuse`::

        def construct(self, x, bias, slots, keys, values):
            if self.can_fuse(x, slots):
                x = self.fuse(x, bias, slots, keys, values)
            else:
                x = x + self.attention(self.norm_1(x), bias, slots, keys, values)
                x = x + self.mlp(self.norm_2(x))
            return x

    Both give the same, to rounding. The kernel is asked for when a graph is made, so cells may be replaced before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer_kernel: Any = kernel("decoder_layer")

    def parts(self) -> LayerParts | None:
        """Return what the layer is made of; None: it computes something else."""
        return None

    @property
    def fused(self) -> tuple[Any, ...] | None:
        """The kernel's arguments that do not change from pass to pass; None: there is none for such a layer.

        That is where anything is split or held in another type, or where the layer has a parameter that is none of its
        parts', such as an adapter's.
        """
        parts = None if self.layer_kernel is None else self.parts()
        if parts is None or not _can_be_taken(parts):
            return None
        cells = (*parts.norms, *parts.projections)
        if {id(p) for p in self.get_parameters()} != {id(p) for cell in cells for p in cell.get_parameters()}:
            return None
        inputs, ups = map(_projection, parts.query_key_value), map(_projection, parts.up)
        projections = (tuple(inputs), _projection(parts.output), tuple(ups), _projection(parts.down))
        angles = None if parts.rotary is None else (parts.rotary.cos, parts.rotary.sin)
        beta = getattr(parts.activation, "beta", None)
        return tuple(map(_norm, parts.norms)), projections, angles, beta, parts.scale, parts.normed_residual

    def can_fuse(self, x: Tensor, slots: Tensor | None) -> bool:
        """Tell whether a kernel takes this pass: over a cache, of ``x``, ``(B, S, E)``, in fp32."""
        if slots is None or self.training or x.dtype != mstype.float32:
            return False
        return self.fused is not None

    def fuse(
        self, x: Tensor, bias: Tensor, slots: Tensor, keys: Parameter, values: Parameter, *,
        position_ids: Tensor | None = None, asking: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the layer's output, ``(B, Q, E)``; new keys and values are written to the cache.

        Args:
            x: ``(B, S, E)``.
            bias: ``(B, 1, Q, C)``; see :func:`mf_core.generation.cache.cache_bias`.
            slots: ``(B * G * S,)`` int32; see :func:`mf_core.generation.cache.cache_slots`.
            keys, values: The cache, ``(B * G * C, D)``.
            position_ids: ``(B, S)`` int32; for a layer with ``rotary``.
            asking: What queries are made of, ``(B, Q, E)``, for the last Q tokens; None: of the normed ``x``, for all.
        """
        norms, projections, angles, beta, scale, normed_residual = self.fused  # type: ignore[misc]  # can_fuse has told
        rotary = None if angles is None else (ops.cast(position_ids, mstype.int32), *angles)
        return self.layer_kernel(
            x, asking, bias, slots, keys, values, norms, projections, rotary, beta, scale, normed_residual
        )


def _can_be_taken(parts: LayerParts) -> bool:
    """Tell whether all is whole and computed in fp32 by the cells that the kernel knows."""
    plain = parts.softmax_dtype == mstype.float32 and not parts.attention.by_compiler
    known = type(parts.activation) in (GeluTanh, FastGelu, Silu)
    return plain and known and all(map(_is_plain_norm, parts.norms)) and all(map(_is_plain, parts.projections))


def _is_plain_norm(cell: nn.Cell) -> bool:
    known = type(cell) in (LayerNorm, RMSNorm)
    return known and cell.dtype == cell.weight.dtype == mstype.float32 and not getattr(cell, "by_compiler", False)


def _is_plain(cell: nn.Cell) -> bool:
    if type(cell) is WeightOnlyLinear:
        held = True
    elif type(cell) is Linear:
        whole = cell.enter is None and cell.leave is None and not cell.by_compiler
        held = whole and cell.weight.dtype == mstype.float32
    else:
        held = False
    return held and cell.dtype == mstype.float32 and (cell.bias is None or cell.bias.dtype == mstype.float32)


def _norm(cell: nn.Cell) -> tuple[Any, ...]:
    return cell.weight, getattr(cell, "bias", None), cell.epsilon


def _projection(cell: nn.Cell) -> tuple[Any, ...]:
    if type(cell) is WeightOnlyLinear:
        return cell.weight, cell.scale, cell.bias, True, False
    return cell.weight, None, cell.bias, cell.outputs_first, cell.compute_dtype == "bfloat16"
