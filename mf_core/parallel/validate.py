"""How a checkpoint's weights are distributed in a layout by the model's parallel plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ArgumentError, UnsupportedError
from .device_mesh import Layout
from .plan import ParallelPlan, ShardSpec, matches, prefix, shard_specs

Shapes = Mapping[str, tuple[int, ...]]


def fit(
    model: Any, config: Any, shapes: Shapes, layout: Layout, *, vocabulary: bool
) -> tuple[dict[str, str], dict[str, ShardSpec]]:
    """Return the parameters that a checkpoint's weights belong to, and how each parameter is sharded in a layout.

    Args:
        model: The model's class, which is not instantiated.
        config: Its configuration.
        shapes: The checkpoint's weights: names and shapes.
        layout: The grid.
        vocabulary: Whether embeddings are split by vocabulary.

    Returns:
        Name in the checkpoint -> parameter, without what is no weight; parameter -> spec.

    Raises:
        ArgumentError: Numbers do not divide.
        UnsupportedError: The model does not say how it may be split.
    """
    names = _names(model, shapes)
    # In the order of their numbers, as the model has them; a file may put layer 10 before layer 2.
    ordered = sorted(names.items(), key=lambda item: _natural(item[1]))
    known = {parameter: tuple(shapes[name]) for name, parameter in ordered}
    return names, check_fit(model.__name__, model.plan_for(config), known, layout, config, vocabulary=vocabulary)


def check_fit(
    model: str, plan: ParallelPlan | None, shapes: Shapes, layout: Layout, config: Any, *, vocabulary: bool
) -> dict[str, ShardSpec]:
    """Return how each parameter of a model is sharded in a layout; raise if a size is not divisible.

    Args:
        model: Name of the model's class.
        plan: Its plan; None: it has none.
        shapes: Its parameters' names and shapes, in its order.
        layout: The grid.
        config: Its configuration.
        vocabulary: Whether embeddings are split by vocabulary.

    Raises:
        ArgumentError: Numbers do not divide.
        UnsupportedError: The model does not say how it may be split.
    """
    plan = _needed(model, plan, layout)
    _check_counts(model, plan, shapes, layout, config)
    specs = shard_specs(plan, shapes, layout, vocabulary=vocabulary)
    for parameter, spec in specs.items():
        _check_shape(model, parameter, spec, layout, plan)
    return specs


def _names(model: Any, shapes: Shapes) -> dict[str, str]:
    """Return name -> parameter: checkpoints of the model's body lack the beginning of its parameters' names."""
    kept = [name for name in shapes if not any(re.search(pattern, name) for pattern in model.ignored_keys)]
    start = "" if any(name.startswith(model.checkpoint_prefix) for name in kept) else model.checkpoint_prefix
    return {name: start + name for name in kept}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def plan_of(model: Any, layout: Layout) -> ParallelPlan:
    """Return a model's plan; raise UnsupportedError where it has none and the layout needs one."""
    return _needed(type(model).__name__, model.parallel_plan, layout)


def _needed(model: str, plan: ParallelPlan | None, layout: Layout) -> ParallelPlan:
    if plan is None and (layout.tensor, layout.pipeline, layout.expert) != (1, 1, 1):
        raise UnsupportedError(
            f"{model} does not say how its layers may be split", value=model,
            why="it has no parallel_plan", hint="leave all but data_parallel at 1",
        )  # fmt: skip
    return plan or ParallelPlan()


def _check_counts(name: str, plan: ParallelPlan, known: Iterable[str], layout: Layout, config: Any) -> None:
    """Raise ArgumentError where the heads, the layers or the experts cannot be shared out evenly."""
    if min(layout.data, layout.tensor, layout.pipeline, layout.expert) < 1:
        raise ArgumentError(f"{layout} is no grid of processes", value=layout, hint="its numbers are 1 or more")
    _divides("copies (data_parallel)", layout.data, "expert_parallel", layout.expert)
    for kind, field in (("attention", "num_heads"), ("key-value", "num_key_value_heads")):
        heads = getattr(config, field, None)
        if plan.heads and isinstance(heads, int):
            _divides(f"{kind} heads of {name}", heads, "model_parallel", layout.tensor)
    layers = {found for pattern in plan.layers for parameter in known if (found := prefix(parameter, pattern))}
    _divides(f"layers of {name}", len(layers), "pipeline_stage", layout.pipeline)
    experts = {found for pattern in plan.experts for parameter in known if (found := prefix(parameter, pattern))}
    for siblings in sorted({expert.rpartition(".")[0] for expert in experts}):
        count = sum(expert.rpartition(".")[0] == siblings for expert in experts)
        _divides(f"experts of {siblings!r}", count, "expert_parallel", layout.expert)


def _check_shape(name: str, parameter: str, spec: ShardSpec, layout: Layout, plan: ParallelPlan) -> None:
    if not spec.stages:
        raise UnsupportedError(
            f"{name} does not say which stage of a pipeline has {parameter!r}", value=parameter,
            hint="leave pipeline_stage at 1",
        )  # fmt: skip
    if spec.split is not None:
        axis, sizes = spec.split.axis, spec.split.sizes
        if axis >= len(spec.shape) or spec.shape[axis] % sum(sizes):
            different = f" of the relative sizes {sizes}" if len(set(sizes)) > 1 else ""
            raise ArgumentError(
                f"{parameter!r} is {spec.shape}, and its axis {axis} is not of {len(sizes)} weights{different}",
                value=spec.shape,
                hint="check that config.json and the weights are of one model",
            )  # fmt: skip
        if matches(parameter.rpartition(".")[0], plan.vocabulary):
            what = f"vocabulary entries of {name}"
        else:
            what = f"numbers along axis {axis} of {parameter!r}" + (f", one of {len(sizes)}," if len(sizes) > 1 else "")
        for size in sorted(set(sizes)):
            _divides(what, size * spec.shape[axis] // sum(sizes), "model_parallel", layout.tensor)


def _divides(what: str, count: int, setting: str, parts: int) -> None:
    if count % parts or (parts > 1 and not count):
        raise ArgumentError(
            f"the {count} {what} cannot be split by {setting}={parts}", value=parts,
            hint=f"choose a {setting} that divides {count}" if count else f"leave {setting} at 1",
        )  # fmt: skip
