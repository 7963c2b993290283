"""Adapters in files: PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ..boundary import public
from ..checkpoint.safetensors_reader import read_header, widen
from ..checkpoint.shards import save_tensors
from ..checkpoint.weights import to_numpy
from ..errors import ArgumentError, FileMissingError, WeightsError
from ..hub import Source, open_source
from ..nn.init import skip_init
from ..utils.commit import finish, replace_files
from ..utils.files import ADAPTER_FILE, ADAPTER_WEIGHTS_FILE, CONFIG_FILE
from ..utils.paths import user_path
from .adapters import adapters, find_layers, find_saved, insert, targets
from .config import LoraConfig, read_settings

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

#: What PEFT's own models put before every name.
_PREFIX = "base_model.model."

#: Types that are read, as safetensors has them.
_KINDS = ("F64", "F32", "F16", "BF16")


@public
def save_adapter(
    model: PretrainedModel, directory: str | Path, *, weights: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a model's adapters, and not the model, into ``directory``, in the form that PEFT reads.

    The file names the checkpoint that the model came from, as it was named then, so that ``from_pretrained(directory)``
    finds it; a model that came from none leaves that open.

    Args:
        model: With adapters.
        directory: Made if need be; not one that holds a model.
        weights: What to write instead of the adapters as they are now, by the parameters' names, such as an earlier
            copy of them.

    Raises:
        ArgumentError: There are no adapters, or ``directory`` holds a model.
    """
    config = model.lora_config
    layers, folder = adapters(model), user_path(directory)
    assert config is not None
    finish(folder)
    if (folder / CONFIG_FILE).exists():
        raise ArgumentError(
            f"{folder} holds a model, which would be found there instead of the adapter", value=str(directory),
            hint="name a directory of the adapter's own",
        )  # fmt: skip
    values: Mapping[str, Any] = dict(model.parameters_and_names()) if weights is None else weights
    names = {f"{name}.{part}.weight": f"{name}.{part}" for name in layers for part in ("lora_A", "lora_B")}
    whole = _saved_parameters(model, config)
    names.update({name: name for name in whole})
    tensors = {
        f"{_PREFIX}{stored}": np.ascontiguousarray(to_numpy(values[name] if name in values else whole[name]))
        for stored, name in names.items()
    }  # fmt: skip
    task = "CAUSAL_LM" if hasattr(model, "decode") else None  # what can decode predicts the next token
    with replace_files(folder) as staging:
        save_tensors(staging / ADAPTER_WEIGHTS_FILE, tensors)
        config.save_pretrained(staging, base=model.name_or_path, task=task)


@public
def load_adapter(model: PretrainedModel, directory: str | Path) -> None:
    """Put saved adapters, ours or PEFT's, into a model, which is given the layers for them if it has none.

    See :func:`add_lora` for what that means. Nothing is changed when an error is raised.

    Args:
        model: What the adapters were trained with, or one of its shape.
        directory: A directory, or ``"hub:owner/name"``.

    Raises:
        FileMissingError, DownloadError, IntegrityError: The files cannot be fetched, or are damaged.
        UnsupportedError: They are of another kind of adapter, or use what LoRA here does not support.
        ArgumentError: The model has adapters with other settings, or not the layers that the file names.
        WeightsError: A tensor is missing, left over, or of another shape or kind.
    """
    if fill(model, open_source(str(directory))):
        ms.ms_memory_recycle()  # see add_lora


def fill(model: PretrainedModel, source: Source) -> bool:
    """As :func:`load_adapter`, but keep compiled graphs; return whether layers were added."""
    config = read_settings(source.path(ADAPTER_FILE))
    if config.modules_to_save is None:  # the file has none, whatever the model's default is
        config = config.model_copy(update={"modules_to_save": ()})
    path = _weights_path(source)
    saved = find_saved(model, config)
    layers = find_layers(model, targets(model, config), saved)
    _check_settings(model, config, source, set(layers))
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.{part}.weight": shape for name, layer in layers.items()
        for part, shape in (("lora_A", (config.r, layer.in_features)), ("lora_B", (layer.out_features, config.r)))
    }  # fmt: skip
    whole = _saved_parameters(model, config)
    shapes.update({name: tuple(parameter.shape) for name, parameter in whole.items()})
    tensors = _read(path, shapes, model.checkpoint_prefix, type(model).__name__)
    added = model.lora_config is None
    if added:
        with skip_init():  # no random numbers are drawn for what is about to be filled
            insert(model, config)
    parameters = dict(model.parameters_and_names())
    for name, array in tensors.items():
        parameter = parameters[name if name in whole else name.removesuffix(".weight")]
        ops.assign(parameter, Tensor(array).astype(parameter.dtype))
    model.initialized_cells = tuple(name for name in model.initialized_cells if name not in saved)
    return added


def _saved_parameters(model: PretrainedModel, config: LoraConfig) -> dict[str, Any]:
    """Return the parameters of the cells that are saved whole, by name."""
    cells = tuple(f"{name}." for name in find_saved(model, config))
    return {name: parameter for name, parameter in model.parameters_and_names() if name.startswith(cells)}


def _weights_path(source: Source) -> Path:
    path = source.path(ADAPTER_WEIGHTS_FILE, required=False)
    if path is not None:
        return path
    pickled = source.path("adapter_model.bin", required=False) is not None
    raise FileMissingError(
        f"{source.location} has no {ADAPTER_WEIGHTS_FILE}", value=source.location,
        why="it has adapter_model.bin, a pickle, which can run code when opened" if pickled else None,
        hint="convert it with PEFT's save_pretrained(…, safe_serialization=True)" if pickled else None,
    )  # fmt: skip


def _check_settings(model: PretrainedModel, config: LoraConfig, source: Source, names: set[str]) -> None:
    """Raise ArgumentError where a model has adapters that are not those of the file; dropout may differ."""
    there = model.lora_config
    if there is None:
        return
    for field in ("r", "scaling"):
        ours, theirs = getattr(there, field), getattr(config, field)
        if ours != theirs:
            raise ArgumentError(
                f"the adapter at {source.location} has {field}={theirs}, those of the model {field}={ours}",
                value=theirs, hint="load it into a model without adapters",
            )  # fmt: skip
    saved = find_saved(model, config)
    for name in sorted(saved.keys() ^ find_saved(model, there).keys()):
        raise ArgumentError(
            f"{name!r} is saved whole {'at ' + source.location if name in saved else 'in the model'} only", value=name,
            hint="load it into a model without adapters",
        )  # fmt: skip
    for name in sorted(names ^ set(adapters(model))):
        raise ArgumentError(
            f"{name!r} has an adapter {'at ' + source.location if name in names else 'in the model'} only", value=name,
            hint="load it into a model without adapters",
        )  # fmt: skip


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]], prefix: str, owner: str) -> dict[str, np.ndarray]:
    """Return a file's tensors as fp32, without PEFT's prefix; raise WeightsError where they are not ``shapes``."""
    found: dict[str, np.ndarray] = {}
    left_over = []
    for full, tensor in read_header(path).tensors.items():
        name = full.removeprefix(_PREFIX)
        name = name if name in shapes else prefix + name
        if name not in shapes or not full.startswith(_PREFIX):
            left_over.append(full)
            continue
        if tensor.kind not in _KINDS:
            raise WeightsError(
                f"{full!r} in {path.name} is of the type {tensor.kind}, which is not read", value=full,
                hint=f"save it in one of: {', '.join(_KINDS)}",
            )  # fmt: skip
        if tensor.shape != shapes[name]:
            raise WeightsError(
                f"{full!r} in {path.name} is {tensor.kind} {tensor.shape}; the model wants {shapes[name]}", value=full,
                hint="check that the adapter is for this model",
            )  # fmt: skip
        found[name] = np.array(widen(tensor.raw(), tensor.kind), np.float32)
    missing = [f"{_PREFIX}{name}" for name in shapes if name not in found]
    if missing or left_over:
        parts = [f"{len(names)} {label}, such as {sorted(names)[0]!r}"
                 for names, label in ((missing, "missing"), (left_over, "left over")) if names]  # fmt: skip
        raise WeightsError(
            f"the adapter in {path} does not fit {owner}: {'; '.join(parts)}",
            value=sorted(missing) + sorted(left_over), hint="check that the adapter is for this model",
        )  # fmt: skip
    return found
