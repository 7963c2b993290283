"""Locating a checkpoint's configuration and files from a name or path.

Environment variables:
    MF_MODELS: Folders, separated as in PATH, that hold checkpoints as ``<name>/config.json``; a preset or name found
        there is taken from there and not from the network. For machines that have none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    FileMissingError,
    IntegrityError,
    MFError,
    NotRegisteredError,
    describe,
)
from ..plugins.registry import RegistryEntry, registry
from ..utils.commit import finish
from ..utils.files import ADAPTER_FILE, CONFIG_FILE, read_config_file
from ..utils.paths import user_path

if TYPE_CHECKING:
    from ..hub import Source

#: A GGUF file of a repository: ``hub:owner/name:file.gguf``, or ``hub:owner/name@revision:folder/file.gguf``.
_HUB_GGUF = re.compile(r"(?P<repository>hub:[^:]+):(?P<file>[^:]+\.gguf)\Z")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been located; only its configuration has been read.

    Attributes:
        name: The name or path as the user gave it.
        config: The configuration's contents, ``model_type`` included.
        weights: Source of the weights; None if there are none (a preset without, a config file).
        tokenizer: Source of the vocabulary; None likewise.
        owner: The distribution whose preset it is, if it is one.
        note: Why there are no weights.
        adapter: Source of the adapters that the weights are given, if the name is that of adapters.
    """

    name: str
    config: Mapping[str, Any]
    weights: Source | None = None
    tokenizer: Source | None = None
    owner: str | None = None
    note: str = ""
    adapter: Source | None = None

    @property
    def model_type(self) -> str:
        """The family; raise IntegrityError where the configuration does not say, FileMissingError without one."""
        model_type = self.config.get("model_type")
        if not self.config and self.weights is not None:
            self.weights.path(CONFIG_FILE)  # a directory without one: the error says so
        if not isinstance(model_type, str):
            raise IntegrityError(
                f"the configuration of {self.name!r} does not say its model_type", value=model_type,
                hint="add the key \"model_type\", for instance \"gpt2\"; `mf models` lists the families",
            )
        return model_type

    def find(self, kind: str) -> RegistryEntry:
        """Return the registry's entry of a kind for the family.

        Raises:
            NotRegisteredError, NotInstalledError, ConflictError: No plugin, or two, have it.
        """
        try:
            return registry.find(kind, self.model_type, self.owner)
        except NotRegisteredError as error:
            if "auto_map" in self.config:
                error.why = f"{self.name!r} brings its own code (auto_map), and code of a checkpoint is never run"
            raise


def locate(name_or_path: str | Path, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint; of a directory or repository that holds only adapters, the model that these are for.

    Args:
        name_or_path: In this order: a preset (``"gpt2"``, ``"mf-gpt2:gpt2"``), a directory, a ``.json`` or ``.yaml``
            file, a ``.gguf`` file, a name under ``MF_MODELS``, a hub repository (``"owner/name"``), a GGUF file of one
            (``"hub:owner/name:file.gguf"``). A directory called like a preset is meant by ``"./gpt2"``.
        revision: Branch, tag or commit of a hub repository.

    Raises:
        NotRegisteredError, NotInstalledError, ConflictError: Nothing goes by that name, or two things do.
        FileMissingError, DownloadError, IntegrityError: It is there, but its configuration is not or cannot be read.
        ArgumentError: A revision is given for what has none, or a file that is no configuration.
    """
    found = _find(name_or_path, revision)
    adapter = found.weights
    file = adapter.path(ADAPTER_FILE, required=False) if adapter is not None and not found.config else None
    return found if file is None else replace(_base(file, found.name), adapter=adapter)


def _base(file: Path, name: str) -> Checkpoint:
    """Return the checkpoint that the file of the adapter ``name`` says it is for."""
    data = read_config_file(file)
    base = data.get("base_model_name_or_path")
    hint = "load_adapter(model, directory) puts it on a model of your own"
    if not isinstance(base, str) or not base:
        raise IntegrityError(
            f"{name!r} holds an adapter, and does not say for which model", value=base,
            why=f"{file} has no base_model_name_or_path", hint=hint,
        )
    try:
        found = _find(base, data.get("revision"))
        if not found.config:
            raise FileMissingError(f"{base!r} has no {CONFIG_FILE}", value=base)
    except MFError as error:
        raise type(error)(
            f"the model {base!r}, which the adapter {name!r} is for, could not be loaded", value=base,
            why=describe(error), hint=hint,
        ) from error  # fmt: skip
    return found


def _find(name_or_path: str | Path, revision: str | None) -> Checkpoint:
    if not isinstance(name_or_path, (str, Path)):
        raise ArgumentTypeError(
            f"a checkpoint is given by name or path, not {type(name_or_path).__name__}", value=name_or_path
        )
    name = str(name_or_path)
    if not name:
        raise ArgumentError("a checkpoint's name or path is empty", value=name)
    path = user_path(name)
    if isinstance(name_or_path, str) and registry.has("preset", name):
        return _preset(registry.find("preset", name), name, revision)
    if os.path.isdir(path):  # unlike Path.is_dir, false for names that are too long
        return _directory(path, name, revision)
    if path.suffix in (".json", ".yaml", ".yml"):
        if not os.path.isfile(path):
            raise FileMissingError(f"there is no file {name!r}", value=name)
        if revision is not None:
            raise ArgumentError(f"the file {name!r} takes no revision ({revision!r})", value=revision)
        return Checkpoint(name, _flatten(read_config_file(path), name), note=f"{name} is a configuration file")
    if path.suffix == ".gguf" and os.path.isfile(path):
        if revision is not None:
            raise ArgumentError(f"the file {name!r} takes no revision ({revision!r})", value=revision)
        return _gguf(path, name)
    is_path = isinstance(name_or_path, Path) or name.startswith((".", "/", "~"))
    mirror = None if is_path else _local_mirror(name)
    if mirror is not None:
        return mirror
    if os.path.isfile(path):
        raise ArgumentError(
            f"{name!r} is a file, and no configuration", value=name, hint=f"name its directory: {str(path.parent)!r}"
        )
    if is_path:
        raise FileMissingError(f"there is no directory {name!r}", value=name)
    in_hub = _HUB_GGUF.match(name)
    if in_hub:
        return _gguf(_open(in_hub["repository"], revision=revision).path(in_hub["file"]), name)
    if _HUB_ID.match(name):
        return _opened(_open(f"hub:{name}", revision=revision), name)
    entry = registry.find("preset", name)  # says what is known, close, or to be installed
    return _preset(entry, name, revision)


def _gguf(path: Path, name: str) -> Checkpoint:
    from .gguf.source import GGUFSource  # needs numpy, which listings do not

    source = GGUFSource(name, path)
    return Checkpoint(name, source.config, source, source)


def _directory(path: Path, name: str, revision: str | None = None) -> Checkpoint:
    return _opened(_open(str(path), revision=revision), name)


def _opened(source: Source, name: str) -> Checkpoint:
    config_path = source.path(CONFIG_FILE, required=False)
    # Neither a tokenizer nor an adapter need have a config: the separate files say what they are for.
    return Checkpoint(name, {} if config_path is None else read_config_file(config_path), source, source)


def _preset(entry: RegistryEntry, name: str, revision: str | None) -> Checkpoint:
    preset = entry.preset
    assert preset is not None
    tokenizer = _open(preset.tokenizer, sha256=preset.sha256) if preset.tokenizer else None
    spellings = dict.fromkeys([name.rpartition(":")[2], preset.name, *preset.aliases])
    mirror = next((found for spelling in spellings if (found := _local_mirror(spelling, tokenizer))), None)
    if mirror is not None:
        return replace(mirror, owner=entry.owner)
    if revision is not None and not preset.weights:
        raise ArgumentError(
            f"{name!r} takes no revision ({revision!r})", value=revision, why=preset.weights_note or None
        )
    weights = _open(preset.weights, revision=revision, sha256=preset.sha256) if preset.weights else None
    if preset.tokenizer in (None, "", preset.weights):
        tokenizer = weights  # one source, which does not change between two look-ups
    config = {"model_type": entry.model_type, **preset.config}
    return Checkpoint(name, config, weights, tokenizer, entry.owner, preset.weights_note)


def _local_mirror(name: str, tokenizer: Source | None = None) -> Checkpoint | None:
    """Return the checkpoint of a name in ``MF_MODELS``; ``tokenizer`` is a fallback for the vocabulary."""
    for folder in filter(None, os.environ.get("MF_MODELS", "").split(os.pathsep)):
        path = user_path(folder) / name
        finish(path)
        if os.path.isfile(path / CONFIG_FILE):
            found = _directory(path, name)
            has_vocabulary = any(path.glob("tokenizer*")) or any(path.glob("vocab*"))
            return found if has_vocabulary or tokenizer is None else replace(found, tokenizer=tokenizer)
    return None


def _flatten(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the fields of a configuration file, also of MindFormers' layout (``model: {model_config: {type: …}}``)."""
    inner = data.get("model", data)
    inner = inner.get("model_config", inner) if isinstance(inner, Mapping) else data
    if not isinstance(inner, Mapping):
        raise IntegrityError(
            f"the model_config in {name!r} is a {type(inner).__name__}, not a mapping of fields", value=inner
        )
    fields = dict(inner)
    class_name = fields.pop("type", None)
    if class_name is not None and "model_type" not in fields:
        if not isinstance(class_name, str):
            raise IntegrityError(f"the type in {name!r} is {class_name!r}, not the name of a class", value=class_name)
        fields["model_type"] = registry.find("export", class_name).model_type
    return fields


def _open(location: str, **options: Any) -> Source:
    from ..hub import open_source  # only when a checkpoint is opened: listings need none

    return open_source(location, **options)


def require_weights(checkpoint: Checkpoint) -> Source:
    """Return where a checkpoint's weights are; raise FileMissingError if it has none."""
    if checkpoint.weights is None:
        raise FileMissingError(
            f"{checkpoint.name!r} has no weights", value=checkpoint.name, why=checkpoint.note or None,
            hint="name a checkpoint that has, or build a model with random weights by from_config(config)",
        )
    return checkpoint.weights
