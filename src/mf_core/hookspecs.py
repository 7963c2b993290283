"""The plugin author's manual: how a package adds model families, tasks and devices.

A plugin is a distribution with an entry point in the group ``mf_core.v1`` (the group's name carries the major version of
this interface) that names a module of hook implementations::

    # pyproject.toml
    [project.entry-points."mf_core.v1"]
    mamba = "mf_mamba.plugin"

    # mf_mamba/plugin.py
    from mf_core.hookspecs import hookimpl
    from mf_core.specs import ConfigSpec, ModelSpec, Preset

    @hookimpl
    def mf_configs():
        return [ConfigSpec(model_type="mamba", target="mf_mamba.config:MambaConfig",
                           presets=(Preset(name="mamba_tiny", weights="package:mf_mamba/data/tiny"),))]

    @hookimpl
    def mf_models():
        return [ModelSpec(model_type="mamba", target="mf_mamba.modeling:MambaLMHeadModel", heads=("base", "causal_lm"))]

Rules for the module:

* Implement the hooks you need and leave out the others. Hooks take no arguments and return a list (or tuple) of specs
  of the kind named below; nothing else.
* Import nothing but ``mf_core.hookspecs`` and ``mf_core.specs``. Targets are strings, so that listing what is installed
  stays cheap; a target is imported when somebody uses it.
* A plugin is taken whole or not at all: when its import or one of its hooks fails, it is recorded as failed with its
  traceback, the user is warned once, and every other plugin goes on working.
* Names must be unique inside a plugin. Two distributions may claim one name; using that name is then an error that
  names both, until the user writes ``"distribution:name"`` or sets ``MF_PREFER``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec

#: Entry-point group of this interface; a plugin for another major version lives in another group.
ENTRY_POINT_GROUP = "mf_core.v1"

hookspec = pluggy.HookspecMarker("mf_core")

#: Marks a function of a plugin's module as the implementation of the hook with its name.
hookimpl = pluggy.HookimplMarker("mf_core")


@hookspec
def mf_configs() -> Sequence[ConfigSpec]:  # type: ignore[empty-body]
    """Return the model families' config classes, each with its presets.

    The target is a subclass of :class:`mf_core.PretrainedConfig`: a pydantic model whose fields are the
    hyper-parameters, with the class attribute ``model_type``. A family must have a config before it can have anything
    else: models, tokenizers and processors find each other through ``model_type``.
    """


@hookspec
def mf_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Return the model classes.

    The target is a subclass of :class:`mf_core.PretrainedModel`, a ``mindspore.nn.Cell`` built from a config alone. A
    model with the head ``"causal_lm"`` is generated from and trained through two methods:

    * ``construct(input_ids, attention_mask=None, position_ids=None)`` returns logits. ``input_ids`` is ``(batch, seq)``
      int32; ``attention_mask`` is ``(batch, seq)``, 1 for tokens and 0 for padding; logits are ``(batch, seq, vocab)``.
    * ``decode(input_ids, attention_mask, position_ids, write_index, cache)`` does the same for the tokens at places
      ``write_index … write_index + seq - 1`` of a static cache and returns ``(batch, vocab)`` logits of the last one;
      see :mod:`mf_core.generation.cache`.
    """


@hookspec
def mf_tokenizers() -> Sequence[TokenizerSpec]:  # type: ignore[empty-body]
    """Return the tokenizer classes.

    The target is a subclass of :class:`mf_core.PretrainedTokenizer` whose ``from_directory(files, config)`` reads its
    vocabulary. It must not import mindspore.
    """


@hookspec
def mf_processors() -> Sequence[ProcessorSpec]:  # type: ignore[empty-body]
    """Return the processor classes, which turn raw input into what the model takes.

    The target is a subclass of :class:`mf_core.PretrainedProcessor`.
    """


@hookspec
def mf_tasks() -> Sequence[TaskSpec]:  # type: ignore[empty-body]
    """Return the tasks: a pipeline class for inference and, where the task can be trained, a training recipe."""


@hookspec
def mf_backends() -> Sequence[BackendSpec]:  # type: ignore[empty-body]
    """Return the hardware backends.

    The target is a subclass of :class:`mf_core.DeviceBackend`. Importing it and calling ``probe()`` must initialise no
    device: both are used for listings.
    """
