"""Normalisation of a trainer's arguments, and the file that describes a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import context
from ..auto import AutoConfig, model_of, model_of_config
from ..checkpoint.locate import Checkpoint
from ..errors import ArgumentTypeError, UnsupportedError
from ..models.base import PretrainedModel
from ..parallel import ParallelConfig
from ..plugins.registry import RegistryEntry, load_target
from ..utils.files import write_text
from ..utils.settings import dump_yaml
from .arguments import TrainingArguments
from .recipe import TrainingRecipe

#: A run as ``mf train`` reads it: the trainer's own arguments and the training arguments, side by side.
RUN_FILE = "run.yaml"


def arguments_of(args: Any) -> TrainingArguments:
    """Return the settings that a user gave as an object, a mapping or a file's path; None: the defaults."""
    if args is None:
        return TrainingArguments()
    if isinstance(args, TrainingArguments):
        return args
    if isinstance(args, Mapping):
        return TrainingArguments(**args)
    if isinstance(args, (str, Path)):
        return TrainingArguments.from_file(args)
    raise ArgumentTypeError(
        f"args is a TrainingArguments, not {type(args).__name__}", value=args,
        hint="TrainingArguments.from_file(path) reads one from YAML or JSON; `mf train --config FILE` reads a whole "
        "run, MindFormers' run files included",
    )  # fmt: skip


def recipe_of(entry: RegistryEntry, task: str) -> type[TrainingRecipe]:
    """Return a task's recipe; raise UnsupportedError where it has none."""
    recipe = getattr(entry.spec, "recipe", None)
    if recipe is None:
        raise UnsupportedError(f"the task {task!r} of {entry.owner} cannot be trained: no recipe", value=task)
    recipe_class: type[TrainingRecipe] = load_target(recipe, entry.owner)
    return recipe_class


def model_for(
    model: Any, checkpoint: Checkpoint | None, recipe: type[TrainingRecipe], dataset: Any, on_bad_record: str
) -> PretrainedModel:
    """Return the model that a user gave: by name, with the head that the recipe needs; by configuration; or itself.

    Args:
        model: As the user gave it.
        checkpoint: Where a named one is.
        recipe: The task's.
        dataset: The training data, which says what labels a new head has.
        on_bad_record: See :class:`mf_core.TrainingArguments`.
    """
    if isinstance(model, PretrainedModel):
        return model
    if isinstance(model, Mapping):
        fields = recipe.config_of_data(model, dataset, on_bad_record)
        return model_of_config(AutoConfig.from_config(model, **fields), f"model:{recipe.head}")
    if not isinstance(model, (str, Path)):
        raise ArgumentTypeError(
            f"model is a name, a path or a model object, not {type(model).__name__}", value=model,
            hint="model='gpt2', or model=AutoModel.from_config(config) for random weights",
        )  # fmt: skip
    assert checkpoint is not None
    fields = recipe.config_of_data(checkpoint.config, dataset, on_bad_record)
    return model_of(checkpoint, f"model:{recipe.head}", **fields)


def describe(given: Any, model: PretrainedModel | None = None) -> Any:
    """Return what can be written of an argument: a name, a path, or a configuration."""
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, (list, tuple)) and all(isinstance(item, (str, Path)) for item in given) and len(given) < 100:
        return [str(item) for item in given]
    return None if model is None else model.config.to_file_dict()


@dataclass(frozen=True)
class RunFileContents:
    """The trainer's own arguments, as far as a file can hold them."""

    task: str
    model: Any
    model_name: str | None
    train_dataset: Any
    eval_dataset: Any
    pet_method: str

    def write(self, directory: Path, args: TrainingArguments, parallel: ParallelConfig | None) -> Path:
        """Write ``run.yaml`` into a directory; return its path."""
        degrees = {} if parallel is None else parallel.model_dump(exclude_defaults=True)
        run = {name: value for name, value in {**asdict(self), "parallel": degrees}.items() if value}
        write_text(directory / RUN_FILE, dump_yaml({**run, **args.model_dump(mode="json")}))
        return directory / RUN_FILE


def check_supported(model: PretrainedModel, args: TrainingArguments) -> None:
    """Raise UnsupportedError for what cannot be trained, or not with the devices that there are."""
    if model.weight_dtype is not None:
        raise UnsupportedError(
            f"a model whose weights are quantized to {model.weight_dtype} cannot be trained",
            value=model.weight_dtype, hint="load it without weight_dtype",
        )  # fmt: skip
    if args.sink_mode:
        warnings.warn("sink_mode: data is not sunk on this device; training runs step by step", stacklevel=3)
    for name, fault, remedy in (
        ("use_parallel", "there is one device",
         "start several processes with `mf launch` and call init_context(use_parallel=True) first"),
        ("only_save_strategy", "there is one device, over which nothing is sharded", "leave it out"),
    ):  # fmt: skip
        if getattr(args, name) and context.current().device_num == 1:
            raise UnsupportedError(f"{name}=True, and {fault}", value=True, hint=remedy)
