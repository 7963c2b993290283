"""Meta models: the names and shapes of a model's parameters, without memory for weights.

Most of a large model is one layer, many times over. So small models of the same configuration are made, with two, three
and four layers and memory that is never touched; what one has more than the other is a layer, and the rest of the
layers are written down after it. Where the layers are not alike, the model itself is made, likewise without a touch of
its memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..parallel.plan import ParallelPlan, matches, prefix

if TYPE_CHECKING:
    from ..config import PretrainedConfig
    from ..models.base import PretrainedModel

Shapes = dict[str, tuple[int, ...]]

#: Models of no more layers are made as they are.
_FEW = 4


@dataclass(frozen=True)
class MetaModel:
    """A model without its weights.

    Attributes:
        model_class: Its class.
        config: Its configuration.
        shapes: Parameter -> shape, in the model's order.
        cache_shape: Layers, key-value heads and head width.
        parallel_plan: How it may be split over devices; None: it can be copied only.
    """

    model_class: type[PretrainedModel]
    config: PretrainedConfig
    shapes: Shapes
    cache_shape: tuple[int, int, int]
    parallel_plan: ParallelPlan | None = None

    @cached_property
    def num_parameters(self) -> int:
        """The number of weights."""
        return sum(map(math.prod, self.shapes.values()))

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The names of the layers, in order."""
        patterns = () if self.parallel_plan is None else self.parallel_plan.layers
        found = [start for pattern in patterns for name in self.shapes if (start := prefix(name, pattern))]
        return tuple(dict.fromkeys(found))


def build_meta_model(model_class: type[PretrainedModel], config: PretrainedConfig) -> MetaModel:
    """Return the meta model of ``model_class(config)``.

    Args:
        model_class: A family's.
        config: With as many layers as you like, in its field ``num_layers``.
    """
    count = getattr(config, "num_layers", None)
    if not isinstance(count, int) or count <= _FEW:
        shapes, model = _made(model_class, config)
    else:
        two, three = (_made(model_class, config.replace(num_layers=layers))[0] for layers in (2, 3))
        four, model = _made(model_class, config.replace(num_layers=_FEW))
        grown = _grown(two, three, four, count)
        shapes = grown if grown is not None else _made(model_class, config)[0]
    layers, heads, width = model.cache_shape
    cache_shape = (count if isinstance(count, int) else layers, heads, width)
    return MetaModel(model_class, config, shapes, cache_shape, model.parallel_plan)


def _made(model_class: type[PretrainedModel], config: PretrainedConfig) -> tuple[Shapes, Any]:
    from ..backends.base import get_backend
    from ..nn import skip_init

    kind = get_backend().default_dtype  # shapes do not depend on it, and asking for another may be refused
    fields = {"compute_dtype": kind} if "compute_dtype" in type(config).model_fields else {}
    with skip_init():
        model = model_class(config.replace(**fields))
    return {name: tuple(parameter.shape) for name, parameter in model.parameters_and_names()}, model


def _grown(two: Shapes, three: Shapes, four: Shapes, count: int) -> Shapes | None:
    """Extrapolate the shapes to ``count`` layers; None where the layers are not alike."""
    third, fourth = ({n: s for n, s in more.items() if n not in less} for less, more in ((two, three), (three, four)))
    earlier, later = _numbered(third), _numbered(fourth)
    if earlier is None or later is None or any(four.get(name) != s for name, s in (two | three).items()):
        return None
    stem, number = earlier
    parts = {name.removeprefix(f"{stem}{number}."): shape for name, shape in third.items()}
    if later != (stem, number + 1) or fourth != _layer(stem, number + 1, parts):
        return None
    result: Shapes = {}
    last = list(fourth)[-1]
    for name, shape in four.items():
        result[name] = shape
        if name == last:
            for more in range(number + 2, number + 2 + count - _FEW):
                result.update(_layer(stem, more, parts))
    return result


def _numbered(layer: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return what the names of a layer have in common before its number, and the number; None where there is none."""
    common = []
    for words in zip(*(name.split(".") for name in layer), strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    while common and not common[-1].isdecimal():
        common.pop()
    return ("".join(f"{word}." for word in common[:-1]), int(common[-1])) if common else None


def _layer(stem: str, number: int, parts: Mapping[str, tuple[int, ...]]) -> Shapes:
    return {f"{stem}{number}.{name}": shape for name, shape in parts.items()}


def linears(shapes: Mapping[str, tuple[int, ...]], layer: str, patterns: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the linear cells of a layer whose names fit the patterns, with their weights' shapes."""
    found = ((name.rpartition("."), shape) for name, shape in shapes.items() if name.startswith(f"{layer}."))
    return {cell: shape for (cell, _, kind), shape in found if kind == "weight" and matches(cell, patterns)}
