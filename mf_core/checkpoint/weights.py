"""Weights in safetensors: mapped into a model, written from one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..errors import IntegrityError, WeightsError
from .safetensors_reader import StoredTensor, map_file, stored_weights, widen
from .shards import SHARD_SIZE as SHARD_SIZE
from .shards import LazyTensor, cast, check_dtype, holds_exactly, write_shards

if TYPE_CHECKING:
    from ..hub import Source
    from ..models.base import PretrainedModel
    from ..parallel.shard_model import ShardedState

#: Types that weights are read from, as safetensors has them.
_NARROW = {"F16": "float16", "BF16": "bfloat16"}
_WEIGHT_KINDS = ("F64", "F32", "F16", "BF16")


def has_own_head(source: Source, head: str, embedding: str) -> bool:
    """Return whether a checkpoint has a head of other weights than its token embedding.

    Args:
        source: Where the files are.
        head: The head's name in it.
        embedding: A regular expression of the embedding's.
    """
    stored = stored_weights(source)
    shared = next((tensor for name, tensor in stored.items() if re.search(embedding, name)), None)
    if head not in stored or shared is None:
        return False
    own = stored[head]
    same = (own.shape, own.kind) == (shared.shape, shared.kind)
    return not same or not np.array_equal(own.raw().view(np.uint8), shared.raw().view(np.uint8))


def load_weights(
    model: nn.Cell,
    source: Source,
    *,
    prefix: str = "",
    ignored: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    heads: Iterable[str] = (),
    in_place: bool = False,
    sharding: ShardedState | None = None,
    renamed: Mapping[str, str] | None = None,
    kinds: dict[str, str] | None = None,
) -> tuple[str, ...]:
    """Load a checkpoint's weights into a model; each file is memory-mapped.

    Args:
        model: Its parameters' names, less ``prefix`` where the checkpoint leaves it out, are the checkpoint's.
        source: Where the files are.
        prefix: What the model's names begin with in checkpoints of the whole model (``"transformer."``), and lack in
            those of its body.
        ignored: Regular expressions of names in the checkpoint that are no weights.
        optional: Of parameters that stay as they are where the checkpoint has them not.
        heads: Names of cells that stay as they are where the checkpoint has none of their parameters.
        in_place: Copy into the memory that the parameters have, for a model that compiled graphs have used: they do not
            see memory that takes its place.
        sharding: How the model is sharded over processes, each of which takes its pieces of the whole weights.
        renamed: Regular expressions of names in old checkpoints -> what replaces them.
        kinds: Is given the type that the checkpoint has each parameter in, by safetensors' name.

    Returns:
        Those of ``heads`` that the checkpoint lacks.

    Raises:
        FileMissingError, IntegrityError: No files, damaged ones, or ones that were replaced in the meantime.
        WeightsError: A parameter is missing, left over, or of another shape or kind.
    """
    parameters = dict(model.parameters_and_names())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if sharding is not None:
        shapes = {name: spec.shape for name, spec in sharding.specs.items()}
    named = {_rename(name, renamed or {}): tensor for name, tensor in stored_weights(source).items()}
    stored = match_names(named, shapes, prefix, ignored)
    missing = {name for name in parameters if not any(re.search(pattern, name) for pattern in optional)}
    left_over = [tensor.name for name, tensor in stored.items() if name not in shapes]
    hint = "check that config.json and the weights are of one model (num_layers, model_type)"
    own = {name: tensor for name, tensor in stored.items() if name in parameters}
    lacking = tuple(head for head in heads if not any(name.startswith(f"{head}.") for name in stored))
    missing = {name for name in missing if not name.startswith(tuple(f"{head}." for head in lacking))}
    for name, tensor in own.items():
        _check(tensor, shapes[name])
    check_all_there(source.location, type(model).__name__, missing - own.keys(), left_over, hint)
    if kinds is not None:
        kinds.update((name, tensor.kind) for name, tensor in own.items())
    for path, tensors in itertools.groupby(own.items(), lambda item: item[1].path):
        mapped = map_file(path)
        for name, tensor in tensors:
            array = tensor.raw(mapped)
            if sharding is not None:
                array = sharding.specs[name].shard(array, sharding.layout)
            _put(parameters[name], widen(array, tensor.kind), tensor.name, in_place)
    if source.changed():
        raise IntegrityError(
            f"another model was saved into {source.location} while this one was loaded", value=source.location,
            why="its configuration and its weights may be of two models", hint="load it again",
        )  # fmt: skip
    return lacking


def _rename(name: str, renamed: Mapping[str, str]) -> str:
    for pattern, replacement in renamed.items():
        name = re.sub(pattern, replacement, name)
    return name


def match_names(
    stored: Mapping[str, StoredTensor], known: Container[str], prefix: str, ignored: tuple[str, ...]
) -> dict[str, StoredTensor]:
    """Return a checkpoint's tensors by the names of a model's parameters, without those that are not weights.

    Args:
        stored: The tensors by their own names.
        known: The model's names.
        prefix, ignored: See :func:`load_weights`.
    """
    found = {}
    for name, tensor in stored.items():
        key = name if name in known or not prefix or prefix + name not in known else prefix + name
        if key in known or not any(re.search(pattern, name) for pattern in ignored):
            found[key] = tensor
    return found


def load_tensors_whole(model: PretrainedModel, tensors: Iterable[LazyTensor], where: str) -> None:
    """Load whole tensors into a model, sharded or not, in place.

    Args:
        model: The tensors' names are its own.
        tensors: Each is read once.
        where: How errors name the source.

    Raises:
        WeightsError: A parameter is missing, left over, or of another shape.
    """
    parameters, sharding = dict(model.parameters_and_names()), model.sharding
    known = parameters if sharding is None else sharding.specs
    found = set()
    for tensor in tensors:
        found.add(tensor.name)
        if tensor.name in parameters:
            parameter = parameters[tensor.name]
            shape = tuple(parameter.shape) if sharding is None else sharding.specs[tensor.name].shape
            _check_shape(tensor.shape, shape, tensor.dtype, tensor.name, where)
            array = tensor.read()
            if sharding is not None:
                array = sharding.specs[tensor.name].shard(array, sharding.layout)
            _put(parameter, array, tensor.name, True)
    hint = "use the model that the checkpoint is of"
    check_all_there(where, type(model).__name__, set(known) - found, sorted(found - set(known)), hint)


def check_all_there(where: str, model: str, missing: Iterable[str], left_over: Iterable[str], hint: str) -> None:
    """Raise WeightsError where the weights at ``where`` lack some of a model's, or have others than it has."""
    kinds = [(sorted(names), label) for names, label in ((missing, "missing"), (left_over, "left over"))]
    parts = [f"{len(names)} {label}, such as {names[0]!r}" for names, label in kinds if names]
    if parts:
        raise WeightsError(
            f"the weights at {where} do not fit {model}: {'; '.join(parts)}", value=kinds[0][0] + kinds[1][0], hint=hint
        )


def _put(parameter: Any, array: np.ndarray, name: str, in_place: bool) -> None:
    wanted = "float16" if parameter.dtype == mstype.float16 else "float32"
    array = cast(np.require(array, requirements=["C", "A"]), wanted, name, "set param_init_type to float32")
    tensor = Tensor.from_numpy(array)
    tensor = tensor.astype(mstype.bfloat16) if parameter.dtype == mstype.bfloat16 else tensor
    if in_place:
        ops.assign(parameter, tensor)
    else:
        parameter.set_data(tensor)


def _check(tensor: StoredTensor, wanted: tuple[int, ...]) -> None:
    if tensor.kind not in _WEIGHT_KINDS:
        raise WeightsError(
            f"{tensor.name!r} in {tensor.path.name} is of the type {tensor.kind}, which is not read", value=tensor.name,
            hint=f"save it in one of: {', '.join(_WEIGHT_KINDS)}",
        )
    _check_shape(tensor.shape, wanted, tensor.kind, tensor.name, tensor.path.name)


def _check_shape(shape: tuple[int, ...], wanted: tuple[int, ...], kind: str, name: str, where: str) -> None:
    if shape != wanted:
        raise WeightsError(
            f"{name!r} in {where} is {kind} {shape}; the model wants {wanted}",
            value=name, hint="check that config.json and the weights are of one model",
        )


def to_numpy(parameter: Any) -> np.ndarray:
    """Return the values of a parameter, or of an array that is one already; bfloat16 as fp32."""
    if isinstance(parameter, np.ndarray):
        return parameter
    tensor = parameter.astype(mstype.float32) if parameter.dtype == mstype.bfloat16 else parameter
    array: np.ndarray = tensor.asnumpy()
    return array


def exact_kinds(tensors: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the 16-bit types that tensors had in their checkpoint, where these still have all their numbers.

    After training they have not: then none is returned, so that a file has one type, and nothing is rounded.

    Args:
        tensors: Name -> parameter or numpy array.
        kinds: Name -> safetensors' name of the type.
    """
    narrow = {name: _NARROW[kinds[name]] for name in tensors if kinds.get(name) in _NARROW}
    return narrow if all(holds_exactly(dtype, to_numpy(tensors[name])) for name, dtype in narrow.items()) else {}


def save_weights(
    tensors: Mapping[str, Any], directory: Path, *, dtype: str | None = None, shard_size: int = SHARD_SIZE,
    kinds: Mapping[str, str] | None = None,
) -> list[Path]:  # fmt: skip
    """Write weights, in shards with an index when they exceed ``shard_size`` bytes.

    Args:
        tensors: Name -> parameter or numpy array.
        directory: Where to; created if missing. The weights that are there are replaced in one step.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None keeps each parameter's own (bfloat16 becomes
            float32).
        shard_size: Most bytes in a file.
        kinds: Without ``dtype``: types by tensor, from :func:`exact_kinds`.

    Returns:
        The files written.

    Raises:
        ArgumentError: ``dtype`` or ``shard_size`` is out of range.
        WeightsError: A number is too large for ``dtype``.
    """
    check_dtype(dtype)

    def lazy(name: str, tensor: Any) -> LazyTensor:
        own = tensor.dtype.name if isinstance(tensor, np.ndarray) else str(tensor.dtype).lower()
        saved = dtype or (kinds or {}).get(name) or ("float32" if own == "bfloat16" else own)

        def read() -> np.ndarray:
            return cast(to_numpy(tensor), saved, name, "save it as float32")

        return LazyTensor(name, tuple(tensor.shape), saved, read)

    return write_shards([lazy(*item) for item in tensors.items()], directory, shard_size=shard_size)
