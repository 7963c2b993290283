"""From a source in another layout to a directory that ``from_pretrained`` reads, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.base import load_class
from ..boundary import public
from ..checkpoint.locate import locate
from ..checkpoint.sharded import MODEL_STALE
from ..checkpoint.shards import SHARD_SIZE, LazyTensor, cast, check_dtype, write_shards
from ..errors import ArgumentError, FileMissingError, TargetError, UnsupportedError, WeightsError, close_names
from ..plugins.registry import RegistryEntry, load_target, registry
from ..specs import ModelSpec
from ..utils.commit import replace_files
from ..utils.files import CONFIG_FILE, write_json
from ..utils.paths import user_path
from .converter import Converter, SourceTensor

if TYPE_CHECKING:
    import numpy as np

    from ..config import PretrainedConfig
    from ..nn.init import Budget

_WEIGHTS = ("float32", "float16")


@dataclass(frozen=True)
class Conversion:
    """A planned conversion: names, shapes and the configuration fit the model; values are not read yet.

    Attributes:
        source: What is converted.
        description: What it was recognised as.
        config: The model's configuration.
        architecture: The model class's name.
        tensors: What will be written.
        ignored: How many tensors of the source are left out because they are no weights.
        files: Other files that are written, such as a tokenizer's: name -> what is written as JSON.
    """

    source: Path
    description: str
    config: PretrainedConfig
    architecture: str
    tensors: tuple[LazyTensor, ...]
    ignored: int = 0
    files: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights that will be written."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @public
    def write(
        self,
        output: str | Path,
        *,
        overwrite: bool = False,
        shard_size: int = SHARD_SIZE,
        on_tensor: Callable[[LazyTensor], None] | None = None,
    ) -> list[Path]:
        """Write ``config.json`` and the weights, in one step: until all are whole, the directory stays as it was.

        One tensor is in memory at a time.

        Args:
            output: The directory; created if missing.
            overwrite: Replace the model that is there. Other files stay.
            shard_size: Most bytes in a weights file; beyond it they are split.
            on_tensor: Called after each tensor.

        Returns:
            The weights files.

        Raises:
            ArgumentError: There is a model in ``output``, and ``overwrite`` is false; or ``output`` is a file.
            IntegrityError, WeightsError: The source cannot be read, or a number is too large for the type asked for.
        """
        folder = user_path(output)
        check_output(folder, overwrite)
        saved = self.tensors[0].dtype if self.tensors else "float32"
        data = {**self.config.to_file_dict(), "architectures": [self.architecture], "dtype": saved}
        with replace_files(folder, MODEL_STALE) as staging:
            files = write_shards(self.tensors, staging, shard_size=shard_size, on_tensor=on_tensor)
            write_json(staging / CONFIG_FILE, data)
            for name, contents in self.files.items():
                write_json(staging / name, contents)
        return [folder / file.name for file in files]


def check_output(folder: Path, overwrite: bool) -> None:
    """Raise ArgumentError where a model cannot be written to a folder."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{str(folder)!r} is a file", value=str(folder), hint="name a folder")
    if folder.is_dir() and not overwrite:
        there = [path.name for path in (*folder.glob(CONFIG_FILE), *folder.glob("model*.safetensors*"))]
        if there:
            raise ArgumentError(
                f"{str(folder)!r} has a {there[0]} already", value=str(folder),
                hint="name another folder, or replace the model with overwrite=True",
            )  # fmt: skip


@public
def plan_conversion(
    source: str | Path, model: str | Path | None = None, *, dtype: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Conversion:  # fmt: skip
    """Recognise a source and check that all its weights fit a model; nothing is written and no weight is read.

    Args:
        source: A file or directory in one of the layouts that the family's converter reads, or a GGUF file.
        model: Preset, directory or configuration file that says the hyper-parameters; None: the source says them, as
            GGUF files do.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"`` for all weights; None keeps the source's.
        overrides: Fields of the configuration to change.

    Raises:
        FileMissingError: There is no such source, or it lacks a file.
        UnsupportedError: The family has no converter, or it does not know the source's layout.
        TargetError: The family's converter is none, or cannot be imported.
        IntegrityError: The source is cut off or damaged.
        WeightsError: The source tells another value of a field than the configuration has, or a tensor is missing, left
            over, of another shape, or twice there.
        ArgumentError: ``dtype`` is none of these.
    """
    check_dtype(dtype)
    path = user_path(source)
    if not path.exists():
        raise FileMissingError(f"there is no file or folder {str(source)!r}", value=str(source))
    if path.suffix == ".gguf" and path.is_file():
        if model is not None:
            raise ArgumentError(
                f"{str(source)!r} says its own hyper-parameters; model={str(model)!r} has no use", value=str(model),
                hint="leave model out",
            )  # fmt: skip
        from .gguf_file import plan_gguf_conversion

        return plan_gguf_conversion(path, dtype=dtype, overrides=overrides)
    if model is None:
        raise ArgumentError(
            f"{str(source)!r} does not say its hyper-parameters", hint="name a preset or a directory as the model"
        )
    checkpoint = locate(model)
    entry = registry.find("model:base", checkpoint.model_type, checkpoint.owner)
    converter = _recognise(path, entry)
    model_class = load_class(entry)
    config = model_class.config_class.from_dict(checkpoint.config, **(overrides or {}))
    _check_config(converter, config, str(source), str(model))
    tensors = list(converter.tensors())
    _check_tensors(tensors, parameter_shapes(model_class, config), str(source), model_class.__name__)
    lazy = tuple(_lazy(tensor, dtype) for tensor in tensors)
    return Conversion(path, converter.description, config, model_class.__name__, lazy, converter.ignored)


def _recognise(path: Path, entry: RegistryEntry) -> Converter:
    target = entry.spec.converter if isinstance(entry.spec, ModelSpec) else None
    if target is None:
        raise UnsupportedError(
            f"{entry.owner} converts no checkpoints for {entry.name!r}", value=entry.name,
            hint="a directory with config.json and safetensors is read as it is",
        )  # fmt: skip
    kind = load_target(target, entry.owner)
    if not (isinstance(kind, type) and issubclass(kind, Converter)):
        raise TargetError(
            f"{target!r} of {entry.owner} is no mf_core.conversion.Converter", value=target,
            hint=f"this is a fault of {entry.owner}: report it to its authors",
        )
    converter = kind.recognise(path)
    if converter is None:
        raise UnsupportedError(
            f"{str(path)!r} is in no layout that {entry.owner} converts", value=str(path),
            hint="it converts: " + "; ".join(kind.layouts),
        )
    return converter


def _check_config(converter: Converter, config: PretrainedConfig, source: str, model: str) -> None:
    recorded = converter.config()
    others = {name: value for name, value in recorded.items() if getattr(config, name) != value}
    if others:
        words = ", ".join(f"{name} {value} and not {getattr(config, name)}" for name, value in others.items())
        raise WeightsError(
            f"{source} is of another model than {model!r}: it has {words}", value=others,
            hint="name that model, or " + " ".join(f"{name}={value}" for name, value in others.items()),
        )  # fmt: skip


def parameter_shapes(
    model_class: Any, config: PretrainedConfig, budget: Budget | None = None
) -> dict[str, tuple[int, ...]]:
    """Return a model's parameters' shapes; its memory is reserved for a moment and not touched.

    Raises:
        WeightsError: The model is larger than ``budget``.
    """
    from ..nn.init import skip_init

    with skip_init(budget):
        model = model_class(config)
    return {name: tuple(parameter.shape) for name, parameter in model.parameters_and_names()}


def _check_tensors(
    tensors: Sequence[SourceTensor], shapes: Mapping[str, tuple[int, ...]], source: str, model: str
) -> None:
    from ..checkpoint.weights import check_all_there

    found: dict[str, SourceTensor] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise WeightsError(
                f"{tensor.origin} and {found[tensor.name].origin} are one weight of {model}, {tensor.name!r}",
                value=tensor.name,
            )
        found[tensor.name] = tensor
        wanted = shapes.get(tensor.name, tensor.shape)
        if tensor.shape != wanted:
            raise WeightsError(
                f"{tensor.origin} makes a {tensor.name!r} of {tensor.shape}; the model wants {wanted}",
                value=tensor.name, hint="check that the configuration and the source are of one model",
            )  # fmt: skip
        if tensor.dtype not in _WEIGHTS:
            raise WeightsError(
                f"{tensor.origin} is {tensor.dtype}, and weights are one of: {', '.join(_WEIGHTS)}", value=tensor.name
            )
    left_over = found.keys() - shapes.keys()
    close = close_names(min(left_over), shapes) if left_over else []
    hint = "check that the configuration and the source are of one model"
    check_all_there(
        source, model, shapes.keys() - found.keys(), left_over, hint + (f"; close is {close[0]!r}" if close else "")
    )


def _lazy(tensor: SourceTensor, dtype: str | None) -> LazyTensor:
    saved = dtype or tensor.dtype

    def read() -> np.ndarray:
        return cast(tensor.read(), saved, tensor.name, "save it as float32")

    return LazyTensor(tensor.name, tensor.shape, saved, read)
