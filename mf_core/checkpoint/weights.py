"""Weights in safetensors: mapped into a model, written from one."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from safetensors import SafetensorError, safe_open

from ..errors import FileMissingError, IntegrityError, WeightsError, describe
from .shards import INDEX_FILE, KINDS, WEIGHTS_FILE, LazyTensor, cast, check_dtype, write_shards
from .shards import SHARD_SIZE as SHARD_SIZE

if TYPE_CHECKING:
    from ..hub import Source
    from ..models.base import PretrainedModel
    from ..parallel.shard_model import Spread

#: What other libraries call their weights; named in errors, never opened, since these formats can run code.
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt")

_NUMPY = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def find_files(source: Source) -> list[Path]:
    """Return the safetensors files of a checkpoint: the single one, or all that its index names.

    Raises:
        FileMissingError: There are none.
    """
    single = source.path(WEIGHTS_FILE, required=False)
    if single is not None:
        return [single]
    index = source.path(INDEX_FILE, required=False)
    if index is not None:
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            if not names or not all(isinstance(name, str) for name in names):
                raise ValueError("its weight_map names no files")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                f"{index} is not an index of shards", value=str(index), why=describe(error)
            ) from error
        return [path for name in names if (path := source.path(name)) is not None]
    pickled = next((name for name in _PICKLED if source.path(name, required=False) is not None), None)
    raise FileMissingError(
        f"{source.location} has no {WEIGHTS_FILE} and no {INDEX_FILE}", value=source.location,
        why=f"it has {pickled}, a pickle, which can run code when opened" if pickled else None,
        hint="convert it with save_pretrained(…, safe_serialization=True) of the library that wrote it"
        if pickled else "random weights come only from from_config(config)",
    )  # fmt: skip


def read_tensors(path: Path) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield ``(name, array, dtype)`` for each tensor of a file, mapped copy-on-write and not read until touched.

    ``dtype`` is the file's (``"F32"``, ``"BF16"``, …); bfloat16 comes as uint16.

    Raises:
        IntegrityError: The file is truncated or no safetensors file.
    """
    try:
        with safe_open(str(path), framework="np"):
            pass  # the library checks the header, the offsets and the file's size
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{path} is not a whole safetensors file", value=str(path), why=str(error), hint="fetch or save it again"
        ) from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    base = 8 + length
    data = _map(path)
    for name, info in header.items():
        start, end = info["data_offsets"]
        kind = info["dtype"]
        raw = data[base + start : base + end]
        array = raw.view(_NUMPY[kind]).reshape(info["shape"]) if kind in _NUMPY else np.asarray(raw)
        yield name, array, kind


def has_own_head(source: Source, head: str, embedding: str) -> bool:
    """Return whether a checkpoint has a head of other weights than its token embedding.

    Args:
        source: Where the files are.
        head: The head's name in it.
        embedding: A regular expression of the embedding's.
    """
    own: np.ndarray | None = None
    shared: np.ndarray | None = None
    for path in find_files(source):
        for name, array, _ in read_tensors(path):
            if name == head:
                own = array
            elif re.search(embedding, name):
                shared = array
    return own is not None and shared is not None and not np.array_equal(own.view(np.uint8), shared.view(np.uint8))


def _map(path: Path) -> np.ndarray:
    """Return a file's bytes, mapped copy-on-write, in large pages where the system gives them: those are read faster.

    What of the file was in memory already stays in the pages that it was put into.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the kernel was built without
            mapped.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapped, np.uint8)


def load_weights(
    model: nn.Cell,
    source: Source,
    *,
    prefix: str = "",
    ignored: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    in_place: bool = False,
    spread: Spread | None = None,
) -> None:
    """Put a checkpoint's weights into a model, each file mapped.

    Args:
        model: Its parameters' names, less ``prefix`` where the checkpoint leaves it out, are the checkpoint's.
        source: Where the files are.
        prefix: What the model's names begin with in checkpoints of the whole model (``"transformer."``), and lack in
            those of its body.
        ignored: Regular expressions of names in the checkpoint that are no weights.
        optional: Of parameters that stay as they are where the checkpoint has them not.
        in_place: Copy into the memory that the parameters have, for a model that compiled graphs have used: they do not
            see memory that takes its place.
        spread: How the model is spread over processes, each of which takes its pieces of the whole weights.

    Raises:
        FileMissingError, IntegrityError: No files, or broken ones.
        WeightsError: A parameter is missing, left over, or of another shape or kind.
    """
    parameters = dict(model.parameters_and_names())
    known = parameters if spread is None else spread.places
    missing = {name for name in parameters if not any(re.search(pattern, name) for pattern in optional)}
    left_over = []
    for path in find_files(source):
        for name, array, kind in read_tensors(path):
            key = name if name in known or not prefix or prefix + name not in known else prefix + name
            if key not in known:
                if not any(re.search(pattern, name) for pattern in ignored):
                    left_over.append(name)
                continue
            if key not in parameters:
                continue  # another process's
            if spread is not None:
                _check_shape(array, spread.places[key].shape, kind, name, path)
                array = spread.places[key].piece(array, spread.layout)
            _put(parameters[key], array, kind, name, path, in_place)
            missing.discard(key)
    hint = "check that config.json and the weights are of one model (num_layers, model_type)"
    check_all_there(source.location, type(model).__name__, missing, left_over, hint)


def load_tensors_whole(model: PretrainedModel, tensors: Iterable[LazyTensor], where: str) -> None:
    """Put whole tensors into a model, spread or not, in the memory that its parameters have.

    Args:
        model: The tensors' names are its own.
        tensors: Each is read once.
        where: What is told in errors.

    Raises:
        WeightsError: A parameter is missing, left over, or of another shape.
    """
    parameters, spread = dict(model.parameters_and_names()), model.spread
    known = parameters if spread is None else spread.places
    found = set()
    for tensor in tensors:
        found.add(tensor.name)
        if tensor.name in parameters:
            array = tensor.read()
            if spread is not None:
                _check_shape(array, spread.places[tensor.name].shape, tensor.dtype, tensor.name, Path(where))
                array = spread.places[tensor.name].piece(array, spread.layout)
            _put(parameters[tensor.name], array, KINDS[tensor.dtype], tensor.name, Path(where), True)
    hint = "go on with the model that the checkpoint is of"
    check_all_there(where, type(model).__name__, set(known) - found, sorted(found - set(known)), hint)


def check_all_there(where: str, model: str, missing: Iterable[str], left_over: Iterable[str], hint: str) -> None:
    """Raise WeightsError where the weights at ``where`` lack some of a model's, or have others than it has."""
    kinds = [(sorted(names), label) for names, label in ((missing, "missing"), (left_over, "left over"))]
    parts = [f"{len(names)} {label}, such as {names[0]!r}" for names, label in kinds if names]
    if parts:
        raise WeightsError(
            f"the weights at {where} do not fit {model}: {'; '.join(parts)}", value=kinds[0][0] + kinds[1][0], hint=hint
        )


def _put(parameter: Any, array: np.ndarray, kind: str, name: str, path: Path, in_place: bool) -> None:
    if kind not in _NUMPY:
        raise WeightsError(
            f"{name!r} in {path.name} is of the type {kind}, which is not read", value=name,
            hint=f"save it in one of: {', '.join(_NUMPY)}",
        )
    _check_shape(array, tuple(parameter.shape), kind, name, path)
    # A header of odd length leaves the numbers across word boundaries.
    array = np.require(array, requirements=["C", "A"])
    if kind == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    wanted = "float16" if parameter.dtype == mstype.float16 else "float32"
    tensor = Tensor.from_numpy(cast(array, wanted, name, "set param_init_type to float32"))
    tensor = tensor.astype(mstype.bfloat16) if parameter.dtype == mstype.bfloat16 else tensor
    if in_place:
        ops.assign(parameter, tensor)
    else:
        parameter.set_data(tensor)


def _check_shape(array: np.ndarray, wanted: tuple[int, ...], kind: str, name: str, path: Path) -> None:
    if tuple(array.shape) != wanted:
        raise WeightsError(
            f"{name!r} in {path.name} is {kind} {tuple(array.shape)}; the model wants {wanted}",
            value=name, hint="check that config.json and the weights are of one model",
        )


def to_numpy(parameter: Any) -> np.ndarray:
    """Return the values of a parameter, or of an array that is one already; bfloat16 as fp32."""
    if isinstance(parameter, np.ndarray):
        return parameter
    tensor = parameter.astype(mstype.float32) if parameter.dtype == mstype.bfloat16 else parameter
    array: np.ndarray = tensor.asnumpy()
    return array


def save_weights(
    tensors: Mapping[str, Any], directory: Path, *, dtype: str | None = None, shard_size: int = SHARD_SIZE
) -> list[Path]:
    """Write weights, in shards with an index when they exceed ``shard_size`` bytes.

    Args:
        tensors: Name -> parameter or numpy array.
        directory: Where to; made if need be. Files take their place only when whole.
        dtype: ``"float32"`` or ``"float16"``; None keeps each parameter's own (bfloat16 becomes float32).
        shard_size: Most bytes in a file.

    Returns:
        The files written.

    Raises:
        ArgumentError: ``dtype`` or ``shard_size`` is out of range.
        WeightsError: A number is too large for ``dtype``.
    """
    check_dtype(dtype)

    def lazy(name: str, tensor: Any) -> LazyTensor:
        own = tensor.dtype.name if isinstance(tensor, np.ndarray) else str(tensor.dtype).lower()
        saved = dtype or ("float32" if own == "bfloat16" else own)

        def read() -> np.ndarray:
            return cast(to_numpy(tensor), saved, name, "save it as float32")

        return LazyTensor(name, tuple(tensor.shape), saved, read)

    return write_shards([lazy(*item) for item in tensors.items()], directory, shard_size=shard_size)
