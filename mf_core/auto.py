"""The auto classes: from a name or path to the right family's config, model, tokenizer or processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .backends.base import load_class
from .boundary import public
from .checkpoint.locate import Checkpoint, locate
from .errors import ArgumentError, ArgumentTypeError, UnsupportedError
from .plugins.registry import registry

if TYPE_CHECKING:
    from .config import PretrainedConfig
    from .models.base import PretrainedModel
    from .nn.weight_only import WeightDtype
    from .processing.base import PretrainedProcessor
    from .processing.image import ImageProcessor
    from .tokenization.base import PretrainedTokenizer


class _Auto:
    """What the auto classes share: the support lists and ``register``."""

    kind: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        ways = [f"{name}.{way}" for way in ("from_pretrained(name)", "from_config(config)")
                if hasattr(self, way.partition("(")[0])]  # fmt: skip
        raise UnsupportedError(f"{name} is not instantiated", hint=f"use {' or '.join(ways)}")

    @classmethod
    @public
    def get_support_list(cls) -> dict[str, list[str]]:
        """Return each installed family with the names of its presets."""
        presets: dict[str, list[str]] = {entry.name: [] for entry in registry.entries(cls.kind)}
        for entry in registry.entries("preset"):
            if entry.model_type in presets and entry.name not in presets[entry.model_type]:
                presets[entry.model_type].append(entry.name)
        return presets

    @classmethod
    @public
    def show_support_list(cls) -> None:
        """Print each installed family and its presets, one per line."""
        for family, presets in cls.get_support_list().items():
            print(f"{family}: {', '.join(presets) or '(no presets)'}")

    @classmethod
    @public
    def register(cls, config_class: type[PretrainedConfig] | str, target: type, *, exist_ok: bool = False) -> None:
        """Register a class of your own for a family, for this process.

        Args:
            config_class: The family's config class, or its ``model_type``.
            target: The class to register.
            exist_ok: Put it in the place of one that is there.

        Raises:
            AlreadyRegisteredError: The family has one, and ``exist_ok`` is false.
            ArgumentTypeError, ArgumentError: ``target`` is no class, or the family has no name, or two.
        """
        if not isinstance(target, type):
            raise ArgumentTypeError(f"{target!r} is not a class", value=target)
        model_type = config_class if isinstance(config_class, str) else getattr(config_class, "model_type", None)
        if not isinstance(model_type, str):
            raise ArgumentTypeError(
                f"a family is given by its config class or model_type, not {config_class!r}", value=config_class
            )
        own = getattr(target, "model_type", model_type)
        if not model_type or own != model_type:
            raise ArgumentError(
                f"{target.__name__} cannot be registered for the family {model_type!r}", value=model_type,
                why=f"its model_type is {own!r}" if model_type else None,
                hint="give the config class a model_type, and name that",
            )
        registry.add(cls.kind, model_type, target, exist_ok=exist_ok)


def _family(config: PretrainedConfig) -> tuple[str, str | None]:
    """Return a config's family and the distribution whose config class it is."""
    names = {f"{cls.__module__}:{cls.__qualname__}" for cls in type(config).__mro__}
    for entry in registry.entries("config"):
        if entry.target in names:
            return config.model_type, entry.owner
    return config.model_type, None


class AutoConfig(_Auto):
    """Configurations."""

    kind = "config"

    @classmethod
    @public
    def from_pretrained(
        cls, name_or_path: str | Path, *, revision: str | None = None, **overrides: Any
    ) -> PretrainedConfig:
        """Return the configuration of a preset, directory, hub repository or file, with ``overrides``.

        Raises:
            ConfigError: An override is unknown or out of range.
        """
        return config_of(locate(name_or_path, revision), **overrides)

    @classmethod
    @public
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> PretrainedConfig:
        """Return the configuration that a dict with the key ``model_type`` describes."""
        if not isinstance(config, Mapping):
            raise ArgumentTypeError(
                f"AutoConfig.from_config takes a dict, not {type(config).__name__}", value=config,
                hint="AutoConfig.from_pretrained(name_or_path) reads a file",
            )
        return config_of(Checkpoint("the given dict", config), **overrides)


def config_of(checkpoint: Checkpoint, **overrides: Any) -> PretrainedConfig:
    """Return a checkpoint's configuration as an object of its family's class."""
    entry = checkpoint.find("config")
    config: PretrainedConfig = entry.load().from_dict(checkpoint.config, **overrides)
    return config


class AutoModel(_Auto):
    """Models; the family's main one, which for language models has its head."""

    kind = "model:base"

    @classmethod
    @public
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        weight_dtype: WeightDtype | None = None,
        verify: bool = False,
        **overrides: Any,
    ) -> PretrainedModel:
        """Return a model with a checkpoint's weights.

        Args:
            name_or_path: See :func:`mf_core.checkpoint.locate`.
            revision: Branch, tag or commit of a hub repository.
            weight_dtype: ``"int8"`` or ``"bfloat16"``: hold the weights in fewer bits, for text that comes faster; see
                :meth:`mf_core.PretrainedModel.quantize_weights`.
            verify: Compare the weights' files with the digests that were written with them, which reads them once more.
            **overrides: Fields of the configuration to change.

        Raises:
            IntegrityError: A file is damaged; with ``verify``, also if a bit of its values has changed.
            UnsupportedError: ``verify``, and a file was written without a digest.
            FileMissingError: There are no weights. Nothing is initialised at random instead, but for a head that the
                checkpoint lacks, with one warning that names its parameters.
            WeightsError: They do not fit.
        """
        checkpoint = locate(name_or_path, revision)
        if verify:
            from .checkpoint.verify import verify_checkpoint

            verify_checkpoint(checkpoint)
        return model_of(checkpoint, cls.kind, weight_dtype=weight_dtype, **overrides)

    @classmethod
    @public
    def from_config(cls, config: PretrainedConfig, **overrides: Any) -> PretrainedModel:
        """Return a new model: with random weights, unless the config names a checkpoint."""
        from .config import PretrainedConfig

        if not isinstance(config, PretrainedConfig):
            raise ArgumentTypeError(
                f"from_config takes a config object, not {type(config).__name__}", value=config,
                hint="AutoConfig.from_pretrained(name_or_path) makes one",
            )
        return model_of_config(config.replace(**overrides), cls.kind)


class AutoModelForCausalLM(AutoModel):
    """Models that predict the next token."""

    kind = "model:causal_lm"


class AutoModelForSeq2SeqLM(AutoModel):
    """Models whose encoder reads a text and whose decoder writes another."""

    kind = "model:seq2seq_lm"


class AutoModelForMaskedLM(AutoModel):
    """Models that predict the tokens behind a mask."""

    kind = "model:masked_lm"


class AutoModelForSequenceClassification(AutoModel):
    """Models that classify texts. ``num_labels=`` or ``id2label=`` gives a new head its classes."""

    kind = "model:sequence_classification"


class AutoModelForTokenClassification(AutoModel):
    """Models that classify each token. ``num_labels=`` or ``id2label=`` gives a new head its classes."""

    kind = "model:token_classification"


class AutoModelForQuestionAnswering(AutoModel):
    """Models that find the answer to a question in a text."""

    kind = "model:question_answering"


class AutoModelForImageClassification(AutoModel):
    """Models that classify images. ``num_labels=`` or ``id2label=`` gives a new head its classes."""

    kind = "model:image_classification"


class AutoModelForPreTraining(AutoModel):
    """Models with the head that they were pretrained with, such as a masked autoencoder's."""

    kind = "model:pretraining"


class AutoTokenizer(_Auto):
    """Tokenizers. Never imports mindspore."""

    kind = "tokenizer"

    @classmethod
    @public
    def from_pretrained(
        cls, name_or_path: str | Path, *, revision: str | None = None, **options: Any
    ) -> PretrainedTokenizer:
        """Return a checkpoint's tokenizer; ``options`` go to its class.

        Raises:
            FileMissingError: The checkpoint has no vocabulary.
        """
        from .tokenization.resolve import tokenizer_of

        return tokenizer_of(locate(name_or_path, revision), **options)


class AutoProcessor(_Auto):
    """Processors."""

    kind = "processor"

    @classmethod
    @public
    def from_pretrained(
        cls, name_or_path: str | Path, *, revision: str | None = None, **options: Any
    ) -> PretrainedProcessor:
        """Return a checkpoint's processor with its tokenizer; ``options`` go to its class."""
        return processor_of(locate(name_or_path, revision), **options)


class AutoImageProcessor(_Auto):
    """Image processors. Never imports mindspore."""

    kind = "processor"

    @classmethod
    @public
    def from_pretrained(
        cls, name_or_path: str | Path, *, revision: str | None = None, **options: Any
    ) -> ImageProcessor:
        """Return a checkpoint's image processor; ``options`` are those of :class:`mf_core.processing.ImageProcessor`.

        Raises:
            FileMissingError: The checkpoint has no ``preprocessor_config.json``.
            UnsupportedError: The family's processor reads no images.
        """
        from .processing.resolve import image_processor_of

        return image_processor_of(locate(name_or_path, revision), **options)


def processor_of(checkpoint: Checkpoint, **options: Any) -> PretrainedProcessor:
    """Return the processor of a checkpoint that has been located."""
    from .processing.base import PretrainedProcessor
    from .tokenization.resolve import find_class

    entry = find_class("processor", PretrainedProcessor, checkpoint)
    processor: PretrainedProcessor = entry.load().from_checkpoint(checkpoint, **options)
    return processor


def model_of_config(config: PretrainedConfig, kind: str) -> PretrainedModel:
    """Return a new model of the kind ``"model:<head>"``: with random weights, unless the config names a checkpoint."""
    model: PretrainedModel = load_class(registry.find(kind, *_family(config)))(config)
    return model


def model_of(
    checkpoint: Checkpoint, kind: str, *, weight_dtype: WeightDtype | None = None, **overrides: Any
) -> PretrainedModel:
    """Return the model, of the kind ``"model:<head>"``, of a checkpoint that has been located."""
    entry = checkpoint.find(kind)
    model: PretrainedModel = load_class(entry).from_checkpoint(checkpoint, weight_dtype=weight_dtype, **overrides)
    return model
