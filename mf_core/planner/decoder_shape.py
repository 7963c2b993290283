"""Sizes of a decoder's layers, for estimates of memory and work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..parallel.plan import ParallelPlan, matches, prefix
from .meta_model import linears

#: Arrays of the feed-forward width that an activation and the linear after it keep for the backward pass, by the
#: activation's name in ``mf_core.nn.ACTIVATIONS``.
KEPT_BY_ACTIVATION = {
    "gelu_new": 5, "gelu_pytorch_tanh": 5, "gelu_fast": 5, "gelu": 4, "quick_gelu": 3, "silu": 3, "swish": 3, "relu": 1,
}  # fmt: skip


@dataclass(frozen=True)
class DecoderShape:
    """The sizes of a decoder.

    Attributes:
        hidden: Width of what layers give each other.
        heads: Of attention.
        inner: Width of the feed-forward part.
        vocabulary: Number of entries.
        kept: Arrays of the inner width that the backward pass needs, where operators make the activation.
        activation: Its name.
        attention_inputs: Linears of a layer that read what attention is made of: 1 where they are fused, else 3.
        experts: Feed-forward parts of a layer, through all of which every position goes.
        softmax_size: Bytes of an attention weight; None: of the type that the model computes in.
        embedding_dropout, hidden_dropout, attention_dropout: Whether there is any.
    """

    hidden: int
    heads: int
    inner: int
    vocabulary: int
    kept: int = 5
    activation: str = ""
    attention_inputs: int = 1
    experts: int = 1
    softmax_size: int | None = 4
    embedding_dropout: bool = False
    hidden_dropout: bool = False
    attention_dropout: bool = False

    @classmethod
    def of(cls, model: Any) -> DecoderShape:
        """Return the sizes of a model, or of a meta model.

        Args:
            model: A :class:`mf_core.PretrainedModel`, or an :class:`mf_core.planner.meta_model.MetaModel`.

        Raises:
            UnsupportedError: It is no decoder.
        """
        _, heads, width = model.cache_shape
        config, shapes = model.config, whole_shapes(model)
        heads = int(getattr(config, "num_heads", heads))  # the cache has fewer, where several read one key
        plan = model.parallel_plan or ParallelPlan()
        hidden = int(getattr(config, "hidden_size", heads * width))
        layers = [start for pattern in plan.layers for name in shapes if (start := prefix(name, pattern))]
        first = layers[0] if layers else ""
        columns, rows = (linears(shapes, first, tuple(names)) for names in (plan.columns, plan.rows))
        experts = [start for pattern in plan.experts for name in shapes if (start := prefix(name, pattern))]
        attention = [cell for cell in columns if matches(cell, [f"{pattern}.*" for pattern in plan.heads])]
        activation = str(config.activation_name or "")
        asked = str(getattr(config, "softmax_compute_type", "float32"))
        follows = "softmax_compute_type" not in config.model_fields_set and asked != "float32"
        return cls(
            hidden, heads, max((shape[1 if plan.outputs_first else 0] for shape in rows.values()), default=4 * hidden),
            int(getattr(config, "vocab_size", 0)),
            kept=KEPT_BY_ACTIVATION.get(activation, max(KEPT_BY_ACTIVATION.values())), activation=activation,
            attention_inputs=max(1, len(attention)),
            experts=max(1, len({name for name in experts if name.startswith(f"{first}.")})),
            softmax_size=None if follows else 4 if asked == "float32" else 2,
            **{f"{part}_dropout": _has_dropout(config, part) for part in ("embedding", "hidden", "attention")},
        )  # fmt: skip


def whole_shapes(model: Any) -> Mapping[str, tuple[int, ...]]:
    """Return the whole shapes of a model's or a meta model's parameters."""
    if getattr(model, "shapes", None) is not None:
        return model.shapes  # type: ignore[no-any-return]
    if model.sharding is not None:
        return {name: spec.shape for name, spec in model.sharding.specs.items()}
    return {name: tuple(parameter.shape) for name, parameter in model.parameters_and_names()}


def _has_dropout(config: Any, part: str) -> bool:
    names = (f"{part}_dropout_prob", f"{part}_dropout_rate", f"{part}_dropout")
    return any(float(getattr(config, name, 0.0)) > 0 for name in names)
