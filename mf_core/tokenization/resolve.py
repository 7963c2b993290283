"""From a located checkpoint to its tokenizer: the class that the checkpoint's files name, or its family's."""

from __future__ import annotations

from typing import Any

from ..checkpoint.locate import Checkpoint
from ..errors import FileMissingError, IntegrityError, NotInstalledError, NotRegisteredError
from ..plugins.registry import RUNTIME, RegistryEntry, registry
from .base import PretrainedTokenizer
from .fast import TOKENIZER_FILE, FastTokenizer
from .files import read_class_name


def tokenizer_of(checkpoint: Checkpoint, **options: Any) -> PretrainedTokenizer:
    """Return the tokenizer of a checkpoint that has been located; ``options`` go to its class.

    A ``tokenizer.json`` is read by :class:`FastTokenizer` where no plugin has the class that the checkpoint names, or
    where the family's own reads other files.
    """
    source = checkpoint.tokenizer
    is_fast = source is not None and source.path(TOKENIZER_FILE, required=False) is not None
    try:
        cls: type[PretrainedTokenizer] = find_class("tokenizer", PretrainedTokenizer, checkpoint).load()
    except (NotRegisteredError, NotInstalledError, IntegrityError):
        if not is_fast:
            raise
        cls = FastTokenizer
    try:
        return cls.from_checkpoint(checkpoint, **options)
    except FileMissingError:
        if not is_fast or issubclass(cls, FastTokenizer):
            raise
        return FastTokenizer.from_checkpoint(checkpoint, **options)


def find_class(kind: str, base: type, checkpoint: Checkpoint) -> RegistryEntry:
    """Find the tokenizer or processor class of a checkpoint: the one that its own file names, or its family's.

    Args:
        kind: ``"tokenizer"`` or ``"processor"``.
        base: What a class that a file names must derive from.
        checkpoint: The located checkpoint.

    Raises:
        NotRegisteredError, NotInstalledError, ConflictError: See :meth:`mf_core.plugins.registry.Registry.find`.
        IntegrityError: The file names a class of another kind.
    """
    class_name = None if checkpoint.tokenizer is None else read_class_name(checkpoint.tokenizer, kind)
    if "model_type" in checkpoint.config or class_name is None:
        other = None if class_name is None else _of_another_family(kind, class_name, checkpoint)
        return other or registry.find(kind, checkpoint.model_type, checkpoint.owner)
    entry = registry.find("export", class_name)
    if not issubclass(entry.load(), base):
        raise IntegrityError(f"{checkpoint.name!r} names {class_name!r} as its {kind}", value=class_name)
    return entry


def _of_another_family(kind: str, class_name: str, checkpoint: Checkpoint) -> RegistryEntry | None:
    """Return the class that a checkpoint's file names if exactly one plugin offers it, for another family.

    A model may have been trained with any tokenizer, such as one of a plugin that brings no models.
    """
    if any(entry.owner == RUNTIME for entry in registry.entries(kind) if entry.name == checkpoint.model_type):
        return None  # what the user registered for the family wins
    named = [entry for entry in registry.entries(kind) if str(entry.target).rpartition(":")[2] == class_name]
    return named[0] if len(named) == 1 and named[0].name != checkpoint.model_type else None
