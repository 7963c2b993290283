"""Adding adapters to a model, counting them, folding them into its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..boundary import public
from ..checkpoint.weights import to_numpy
from ..errors import ArgumentError, UnsupportedError, WeightsError, did_you_mean
from ..nn import Linear
from ..nn.cells import replace_cell
from ..nn.dropout import number_sites
from .config import LoraConfig
from .layers import LoraLinear

if TYPE_CHECKING:
    from ..models.base import PretrainedModel


class LoraShare(NamedTuple):
    """How many of a model's weights are trained; as text, a line for people.

    Attributes:
        trainable: Weights that are trained.
        total: All weights, adapters included.
    """

    trainable: int
    total: int

    def __str__(self) -> str:
        return f"trainable: {self.trainable:,} of {self.total:,} weights ({100 * self.trainable / self.total:.2f} %)"


@public
def add_lora(model: PretrainedModel, config: LoraConfig | None = None) -> None:
    """Give a model's targeted linear layers adapters; from now on, these and ``modules_to_save`` alone are trained.

    Weights that are there keep their names, values and identity. An optimizer is to be made afterwards. Compiled graphs
    are compiled again at their next call, those of other models too: none may run in another thread meanwhile.

    Args:
        model: Changed in place.
        config: None: the defaults.

    Raises:
        ArgumentError: A name matches no layer, the model has adapters, or a head that the checkpoint lacked would be
            neither trained nor saved.
        UnsupportedError: A target matches what cannot have an adapter, or the model has no default targets.
    """
    config = config or LoraConfig()
    left_out = [name for name in model.initialized_cells if name not in find_saved(model, config)]
    if left_out:
        raise ArgumentError(
            f"modules_to_save leaves out {', '.join(left_out)}, which the checkpoint lacks",
            value=config.modules_to_save, why="it would be neither trained nor saved",
            hint="leave modules_to_save out, or name it there",
        )  # fmt: skip
    insert(model, config)
    ms.ms_memory_recycle()  # a graph that holds a layer does not see what takes its place


def insert(model: PretrainedModel, config: LoraConfig) -> None:
    """As :func:`add_lora`, for a model that no graph has used."""
    if model.weight_dtype is not None:
        raise UnsupportedError(
            f"a model with weights stored in {model.weight_dtype} gets no adapters", value=model.weight_dtype,
            hint="load it without weight_dtype",
        )  # fmt: skip
    if model.lora_config is not None:
        raise ArgumentError(
            "the model has adapters already", value=config,
            hint="fold them into its weights first, with merge_lora(model)",
        )  # fmt: skip
    saved = find_saved(model, config)
    names = {"target_modules": targets(model, config), "modules_to_save": saved_names(model, config)}
    config = LoraConfig(**{**config.model_dump(), **names})
    layers = find_layers(model, config.target_modules or (), saved)
    trained = tuple(model.trainable_params())
    kept = {id(parameter) for cell in saved.values() for parameter in cell.get_parameters()}
    for parameter in trained:
        parameter.requires_grad = id(parameter) in kept
    for name, layer in layers.items():
        replace_cell(model, name, LoraLinear(layer, config))
    model.lora_config = config
    model.__dict__["trained_before_lora"] = trained
    number_sites(model)


def targets(model: PretrainedModel, config: LoraConfig) -> tuple[str, ...]:
    """Return the configuration's targets or, where it has none, the model's own."""
    found = config.target_modules or model.lora_targets
    if not found:
        raise UnsupportedError(
            f"{type(model).__name__} does not say which of its layers get adapters", value=config,
            hint=f"name them: LoraConfig(target_modules=({_leaves(model)[0]!r},))" if _leaves(model) else None,
        )  # fmt: skip
    return found


def saved_names(model: PretrainedModel, config: LoraConfig) -> tuple[str, ...]:
    """Return the configuration's ``modules_to_save`` or, where it has none, the model's own."""
    return model.new_cells if config.modules_to_save is None else config.modules_to_save


def find_saved(model: PretrainedModel, config: LoraConfig) -> dict[str, nn.Cell]:
    """Return the cells that are trained and saved whole beside adapters, by name.

    Raises:
        ArgumentError: A name matches no cell with parameters.
    """
    cells = {name: cell for name, cell in model.cells_and_names() if name and any(True for _ in cell.get_parameters())}
    found: dict[str, nn.Cell] = {}
    for wanted in saved_names(model, config):
        matches = {name: cell for name, cell in cells.items() if f".{name}".endswith(f".{wanted}")}
        if not matches:
            raise ArgumentError(
                f"modules_to_save: {type(model).__name__} has no cell {wanted!r} with weights", value=wanted,
                hint=did_you_mean(wanted, {name.rpartition(".")[2] for name in cells}),
            )  # fmt: skip
        found.update(matches)
    return found


def find_layers(
    model: PretrainedModel, names: Sequence[str], saved: Mapping[str, nn.Cell] | None = None
) -> dict[str, Linear]:
    """Return the linear layers whose names are, or end in, one of ``names``, by name.

    Args:
        model: The model.
        names: Such as ``("c_attn", "mlp.c_proj")``.
        saved: Cells that are trained whole: layers in them are left out.

    Raises:
        ArgumentError: One of them matches nothing.
        UnsupportedError: One matches something else than a linear layer.
    """
    found: dict[str, Linear] = {}
    inside = tuple(f"{name}." for name in saved or {})
    cells = {name: cell for name, cell in model.cells_and_names() if not f"{name}.".startswith(inside)}
    for target in names:
        matches = {name: cell for name, cell in cells.items() if f".{name}".endswith(f".{target}")}
        if not matches:
            leaves = _leaves(model)
            raise ArgumentError(
                f"{type(model).__name__} has no layer {target!r}", value=target,
                hint=did_you_mean(target, leaves) or f"its linear layers are: {', '.join(leaves)}",
            )  # fmt: skip
        for name, cell in matches.items():
            if not isinstance(cell, Linear) or (type(cell) is not Linear and not isinstance(cell, LoraLinear)):
                raise UnsupportedError(
                    f"the target {target!r} matches {name!r}, a {type(cell).__name__}", value=target,
                    why="only the layers of mf_core.nn.Linear get adapters",
                    hint=f"its linear layers are: {', '.join(_leaves(model))}",
                )  # fmt: skip
        found.update(matches)
    return {name: found[name] for name in cells if name in found}


def adapters(model: PretrainedModel) -> dict[str, LoraLinear]:
    """Return the layers with adapters, by name; raise ArgumentError where there are none."""
    found = {name: cell for name, cell in model.cells_and_names() if isinstance(cell, LoraLinear)}
    if not found:
        raise ArgumentError(
            f"the {type(model).__name__} has no adapters", hint="add_lora(model, config) gives it some"
        )  # fmt: skip
    return found


@public
def merge_lora(model: PretrainedModel) -> None:
    """Fold a model's adapters into its weights, and put the plain linear layers back.

    Parameters become trainable again as they were before. Graphs are compiled again, as by :func:`add_lora`.

    Raises:
        ArgumentError: There are no adapters.
        WeightsError: A weight would be infinite or no number; nothing is changed then.
    """
    layers = adapters(model)
    for name, layer in layers.items():
        if not np.isfinite(to_numpy(_merged(layer))).all():
            raise WeightsError(
                f"{name}.weight with its adapter holds numbers that are not finite in {layer.weight.dtype}", value=name
            )
    for name, layer in layers.items():
        ops.assign(layer.weight, _merged(layer))
        base: Linear = layer.__dict__["base"]
        base.compute_in(layer.compute_dtype)
        base.set_train(layer.training)
        replace_cell(model, name, base)
    for parameter in model.__dict__.pop("trained_before_lora"):
        parameter.requires_grad = True
    model.lora_config = None
    number_sites(model)
    ms.ms_memory_recycle()


def lora_share(model: nn.Cell) -> LoraShare:
    """Return how many of a model's weights are trained, and how many there are."""
    sizes = [(parameter.requires_grad, math.prod(parameter.shape)) for parameter in model.get_parameters()]
    return LoraShare(sum(size for trained, size in sizes if trained), sum(size for _, size in sizes))


def _merged(layer: LoraLinear) -> Tensor:
    first, second = layer.lora_A.asnumpy(), layer.lora_B.asnumpy()
    change = second @ first if layer.outputs_first else (second @ first).T
    weight = to_numpy(layer.weight).astype(np.float32) + np.float32(layer.scaling) * change
    return Tensor(weight).astype(layer.weight.dtype)


def _leaves(model: nn.Cell) -> list[str]:
    """Return the last parts of the names of a model's linear layers."""
    return list(dict.fromkeys(
        name.rpartition(".")[2] for name, cell in model.cells_and_names() if isinstance(cell, Linear)
    ))  # fmt: skip
