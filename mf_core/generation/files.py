"""From a located checkpoint to its generation settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..utils.files import read_config_file
from .config import GENERATION_FILE, GenerationConfig

if TYPE_CHECKING:
    from ..checkpoint.locate import Checkpoint
    from ..config import PretrainedConfig

#: New tokens where nothing else is said, as in ``transformers``.
_NEW_TOKENS = 20


def generation_config_of(checkpoint: Checkpoint, config: PretrainedConfig | None = None) -> GenerationConfig:
    """Return a checkpoint's generation settings.

    A preset of the project has its family's defaults (MindFormers': sampling, top_k 5), changed by what its files say.
    Another checkpoint has what its ``generation_config.json`` says, or without that file what its ``config.json`` does;
    where neither says anything, the text is greedy and 20 tokens long, as in ``transformers``.

    Args:
        checkpoint: From :func:`mf_core.checkpoint.locate`.
        config: Its configuration, where there is one already.
    """
    path = checkpoint.weights.path(GENERATION_FILE, required=False) if checkpoint.weights is not None else None
    said = None if path is None else GenerationConfig.from_dict(read_config_file(path))
    if checkpoint.owner is not None or checkpoint.weights is None:
        return _over(GenerationConfig.from_model_config(config or _config(checkpoint)), said)
    legacy = GenerationConfig.from_model_config(checkpoint.config)
    if said is None:
        said = legacy
    elif "eos_token_id" not in said.model_fields_set and legacy.eos_token_id is not None:
        said.eos_token_id = legacy.eos_token_id
    if said.max_length is None and said.max_new_tokens is None:
        said.max_new_tokens = max(_NEW_TOKENS, said.min_new_tokens)
        said._implied = frozenset({"max_new_tokens"})
    return said


def _config(checkpoint: Checkpoint) -> PretrainedConfig:
    from ..plugins.registry import registry

    entry = registry.find("config", checkpoint.model_type, checkpoint.owner)
    config: PretrainedConfig = entry.load().from_dict(checkpoint.config)
    return config


def _over(base: GenerationConfig, said: GenerationConfig | None) -> GenerationConfig:
    """Return ``base`` with what another sets in its place."""
    if said is None:
        return base
    fields = base.set_fields()
    for name, other in (("max_length", "max_new_tokens"), ("max_new_tokens", "max_length")):
        if name in said.model_fields_set:
            fields.pop(other, None)
    merged = GenerationConfig(**{**fields, **said.set_fields()})
    merged._extra = {**base.extra, **said.extra}
    return merged
