"""The plugin author's manual: how a package adds model families, tasks and devices.

A plugin is a distribution with an entry point in the group ``mf_core.v1`` (the group's name carries the major version
of this interface) that names a module of hook implementations::

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
  traceback, the user is warned once, and every other plugin keeps working.
* Importing the module and calling its hooks takes no time: over 100 ms are reported, and after 20 s (set
  ``MF_PLUGINS_TIMEOUT`` to change it) the plugin is interrupted and counts as failed.
* The module defines hooks and does nothing else. A changed working directory, standard stream, function of Python's or
  the core's, or module that is gone is put back and reported.
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
    hyper-parameters. A family must have a config before it can have anything else: models, tokenizers and processors
    are found through its ``model_type``::

        Positive = Annotated[int, Field(gt=0)]  # pydantic.Field

        class MambaConfig(PretrainedConfig):
            model_type: ClassVar[str] = "mamba"
            json_names: ClassVar[Mapping[str, str]] = {"num_layers": "n_layer"}  # field -> key in config.json
            vocab_size: Positive = 50280
            seq_length: Positive = 2048
            hidden_size: Positive = 768
            num_layers: Positive = 24
            compute_dtype: DType = "float16"  # mf_core.config.DType

    Fields that the core reads, where a config has them: ``vocab_size``, ``seq_length`` (the context),
    ``compute_dtype``, ``eos_token_id``, ``pad_token_id``, ``checkpoint_name_or_path``, and the defaults of generation
    ``do_sample``, ``top_k``, ``top_p``, ``temperature``, ``repetition_penalty``, ``max_decode_length``.
    """


@hookspec
def mf_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Return the model classes.

    The target is a subclass of :class:`mf_core.PretrainedModel`, which is a ``mindspore.nn.Cell``. It has the class
    attribute ``config_class``, is built from a config alone, makes its parameters by :func:`mf_core.nn.parameter` (or
    of the layers in :mod:`mf_core.nn`), so that loading a checkpoint initialises nothing first, and ends ``__init__``
    with ``self.post_init()``::

        class MambaLMHeadModel(PretrainedModel):
            config_class = MambaConfig

            def __init__(self, config):
                super().__init__(config)  # sets self.config and self.compute_dtype
                ...
                self.post_init()

    The parameters' names are the tensors' names in ``model.safetensors``. ``checkpoint_prefix`` and ``ignored_keys``
    say how checkpoints may differ.

    A model with the head ``"causal_lm"`` can be trained and generated from. B is the batch, S the tokens of this call,
    V the vocabulary. It has

    * ``construct(input_ids, attention_mask=None, position_ids=None)``: ``input_ids`` is ``(B, S)`` int32,
      ``attention_mask`` ``(B, S)`` with 0 at padding, which may be on the left; returns logits ``(B, S, V)`` fp32;
    * ``cache_shape``, a property: ``(layers, key-value heads H, head width D)``;
    * ``decode(input_ids, position_ids, bias, cache, logits_to_keep=None)``: the same for tokens that follow those in
      the cache; returns the last token's logits ``(B, V)`` fp32, or with a number ``logits_to_keep`` those of as many
      last tokens, ``(B, logits_to_keep, V)``. (A model without this argument generates, but not with proposed tokens.)
      ``cache`` has an entry for each layer, ``(slots, keys, values)``, the last two parameters of shape
      ``(B * H * C, D)``, C being the cache's slots. ``write_cache(keys, slots, new)`` of :mod:`mf_core.nn` writes new
      keys ``(B, H, S, D)`` and returns all of them, ``(B, H, C, D)``; ``bias``, ``(B, 1, S, C)``, is added to scores
      and hides what a token may not attend to. Runs inside a compiled graph, with S the width of a prompt first, and 1
      or a few from then on.

    A decoder need not write any of these: :class:`mf_core.models.DecoderForCausalLM` has them, and the kernels, the
    parallel plan, pipeline stages and LoRA, from a declaration of the layers::

        class Qwen3ForCausalLM(DecoderForCausalLM):
            config_class = Qwen3Config  # a DecoderConfig

            @classmethod
            def layer_spec(cls, config, layer):
                spec = super().layer_spec(config, layer)
                return replace(spec, attention=replace(spec.attention, query_key_norm=spec.norm))

    MindSpore's graph compiler wants the first argument of ``construct`` to be called ``self``, and no ``*args``.

    ``converter``, where the spec has one, names a subclass of :class:`mf_core.conversion.Converter`, by which
    ``mf convert`` reads the family's checkpoints in other layouts, such as MindFormers' ``.ckpt``. It recognises a file
    or directory, and returns the weights under the names and in the shapes of the model's parameters, each to be read
    when it is asked for; ``mf_core.conversion`` has readers for MindSpore's files and for slices of parallel training::

        class MambaConverter(Converter):
            layouts = ("MindFormers' single file (.ckpt)",)

            def __init__(self, path):
                self.held, self.description = read_mindspore_file(path), "MindFormers' single file"

            @classmethod
            def recognise(cls, source):
                return cls(source) if is_mindspore_file(source) else None

            def tensors(self):
                return [tensor.renamed(name.replace("gamma", "weight")) for name, tensor in self.held.items()]
    """


@hookspec
def mf_tokenizers() -> Sequence[TokenizerSpec]:  # type: ignore[empty-body]
    """Return the tokenizer classes.

    The target is a subclass of :class:`mf_core.PretrainedTokenizer`, and must not import mindspore. Its classmethod
    ``load(source, **options)`` reads the vocabulary: ``source.path("vocab.json")`` gives a local path, fetched if need
    be; with ``required=False`` None where there is no such file. ``options`` go to the base class's constructor, whose
    special tokens must be in the vocabulary. It also has ``save_vocabulary(directory)``, ``encode_text(text)``, which
    returns ids and their character offsets, ``decode_ids(ids, skip_special_tokens)``, ``token_to_id``, ``id_to_token``
    and ``__len__``; the base class does special tokens, padding, truncation and tensors.
    :class:`mf_core.tokenization.FastTokenizer` is complete for a ``tokenizer.json``.
    """


@hookspec
def mf_processors() -> Sequence[ProcessorSpec]:  # type: ignore[empty-body]
    """Return the processor classes, which turn raw input into what the model takes.

    The target is a subclass of :class:`mf_core.PretrainedProcessor` with ``__call__(text)`` and the class attribute
    ``default_tokenizer``, the preset whose tokenizer serves when none is given.
    :class:`mf_core.processing.TextProcessor` is complete for texts.
    """


@hookspec
def mf_tasks() -> Sequence[TaskSpec]:  # type: ignore[empty-body]
    """Return the tasks: a pipeline class for inference and, where the task can be trained, a training recipe.

    ``pipeline`` names a subclass of :class:`mf_core.Pipeline`: ``__call__(inputs, **options)``, with ``self.model``,
    ``self.tokenizer`` and ``self.options`` (the keywords it was built with). ``recipe`` names a subclass of
    :class:`mf_core.TrainingRecipe`: ``examples(dataset)``, ``collate(examples)`` and ``network()``, a cell that maps a
    batch to ``(mean loss, number of targets)``. ``head`` on either says which kind of model a name is resolved to.
    """


@hookspec
def mf_backends() -> Sequence[BackendSpec]:  # type: ignore[empty-body]
    """Return the hardware backends.

    The target is a subclass of :class:`mf_core.DeviceBackend`, made without arguments: ``probe()`` tells whether it can
    be used here (:class:`mf_core.backends.Probe`), and ``setup(device_id)`` selects the device. Importing the class and
    calling ``probe()`` must neither import mindspore nor initialise a device: listings use both.
    """
