"""Feed-forward layers as a layer's declaration describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mindspore import Tensor, nn, ops

from ..errors import ConfigError, did_you_mean
from ..nn import ACTIVATIONS, Dropout, Linear, Operators
from .layer_spec import LayerSpec
from .parts import NamedParts, Part


class FeedForwardParts(NamedParts):
    """Base of cells that have the linear layers of a feed-forward part among their children."""

    gate, up, gate_up, down = Part(), Part(), Part(), Part()

    operators: ClassVar[Operators] = {"multiply": ("rows - features", "rows - features"), "split": ("rows - features",)}

    def add_feed_forward(self, spec: LayerSpec, dtype: str, inner: int | None = None) -> None:
        """Add the linear layers that the declaration has; see :class:`FeedForward` for the arguments."""
        feed_forward, inner = spec.feed_forward, inner or spec.feed_forward.inner
        common: dict[str, Any] = {
            "bias": feed_forward.bias, "param_dtype": spec.param_dtype, "dtype": dtype,
            "outputs_first": spec.outputs_first,
        }  # fmt: skip
        self.is_gated, self.is_fused = feed_forward.gated, feed_forward.gated and feed_forward.fused
        if self.is_fused:
            self.add_part("gate_up", Linear(spec.width, 2 * inner, std=spec.std, role="column", fused=2, **common))
        else:
            for role in ("gate", "up") if feed_forward.gated else ("up",):
                self.add_part(role, Linear(spec.width, inner, std=spec.std, role="column", **common))
        self.add_part("down", Linear(inner, spec.width, std=spec.output_std or spec.std, role="row", **common))
        self.act = make_activation(feed_forward.activation)
        self.multiply: Any = ops.Mul() if self.is_gated else None
        self.split: Any = ops.Split(-1, 2) if self.is_fused else None
        self.inner_dropout: Any = Dropout(feed_forward.dropout) if feed_forward.dropout else None
        self.dropout = Dropout(spec.dropout)

    def apply_feed_forward(self, x: Tensor) -> Tensor:
        """``(…, E)`` to the same."""
        if self.is_fused:
            gate, up = self.split(self.gate_up(x))
            inner = self.multiply(self.act(gate), up)
        elif self.is_gated:
            inner = self.multiply(self.act(self.gate(x)), self.up(x))
        else:
            inner = self.act(self.up(x))
        if self.inner_dropout is not None:
            inner = self.inner_dropout(inner)
        return self.dropout(self.down(inner))


class FeedForward(FeedForwardParts):
    """Two linear layers with an activation between, or three, one of them a gate (Shazeer, 2020).

    Args:
        spec: The layer's declaration.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
        inner: Width between the linear layers; None: the declaration's.
    """

    def __init__(self, spec: LayerSpec, names: Mapping[str, str], dtype: str, inner: int | None = None) -> None:
        super().__init__(names)
        self.add_feed_forward(spec, dtype, inner)

    def construct(self, x: Tensor) -> Tensor:
        """``(…, E)`` to the same."""
        return self.apply_feed_forward(x)


def make_activation(name: str) -> nn.Cell:
    """Return the activation's cell; raise ConfigError where there is none of the name."""
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"the activation {name!r} is not supported", value=name,
            hint=did_you_mean(name, ACTIVATIONS) or f"it may be one of: {', '.join(ACTIVATIONS)}",
        )
    return ACTIVATIONS[name]()
