"""The base of the families' models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .backend import get_backend, import_mindspore

import_mindspore()

from mindspore import Tensor, nn  # noqa: E402

from .checkpoint import Checkpoint, locate  # noqa: E402
from .errors import ArgumentTypeError, ConfigError, FileMissingError, UnsupportedError  # noqa: E402
from .files import CONFIG_FILE, write_json  # noqa: E402
from .nn.dropout import number_sites  # noqa: E402
from .nn.init import initializing, skip_init  # noqa: E402
from .weights import SHARD_SIZE, load_weights, save_weights  # noqa: E402

if TYPE_CHECKING:
    import numpy as np

    from .config import PretrainedConfig
    from .hub import Source

M = TypeVar("M", bound="PretrainedModel")


class PretrainedModel(nn.Cell):
    """Base of the families' models.

    ``Model(config)`` has random weights, unless ``config.checkpoint_name_or_path`` names a checkpoint;
    ``Model.from_pretrained`` has a checkpoint's. A subclass ends its ``__init__`` with ``self.post_init()``.

    Class attributes:
        config_class: The family's config class.
        checkpoint_prefix: What parameter names begin with in checkpoints of the whole model and lack in those of its
            body, such as ``"transformer."``.
        ignored_keys: Regular expressions of names in checkpoints that are no weights.

    Attributes:
        config: The configuration.
        compute_dtype: Name of the type that the backend chose to compute in.
    """

    config_class: ClassVar[type[PretrainedConfig]]
    checkpoint_prefix: ClassVar[str] = ""
    ignored_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PretrainedConfig) -> None:
        if not isinstance(config, self.config_class):
            raise ArgumentTypeError(
                f"{type(self).__name__} is built from a {self.config_class.__name__}, not {type(config).__name__}",
                value=config, hint=f"{type(self).__name__}.from_pretrained(name_or_path) loads a checkpoint",
            )
        backend = get_backend()
        super().__init__()
        self.config = config
        self.compute_dtype = backend.compute_dtype(config)

    def post_init(self) -> None:
        """Load the checkpoint that the configuration names, if it names one, and leave training mode."""
        name = getattr(self.config, "checkpoint_name_or_path", None)
        if name and initializing():
            self.load(locate(name))
        number_sites(self)
        self.set_train(False)

    @classmethod
    def from_pretrained(cls: type[M], name_or_path: str | Path, *, revision: str | None = None, **overrides: Any) -> M:
        """Return a model with a checkpoint's weights; see :meth:`mf_core.AutoModel.from_pretrained`."""
        return cls.from_checkpoint(locate(name_or_path, revision), **overrides)

    @classmethod
    def from_checkpoint(cls: type[M], checkpoint: Checkpoint, **overrides: Any) -> M:
        """Return a model with the weights of a checkpoint that has been located."""
        if checkpoint.model_type != cls.config_class.model_type:
            raise ConfigError(
                f"{checkpoint.name!r} is a {checkpoint.model_type!r} checkpoint, not one for {cls.__name__}",
                value=checkpoint.name, hint="use AutoModel, which picks the class",
            )
        config = cls.config_class.from_dict(checkpoint.config, **overrides)
        _check_weights(checkpoint)  # first: the model may be too large to be made for nothing
        with skip_init():
            model = cls(config)
        model.load(checkpoint)
        return model

    def load(self, checkpoint: Checkpoint) -> None:
        """Put a located checkpoint's weights into this model.

        Raises:
            FileMissingError, DownloadError, IntegrityError: They cannot be had.
            WeightsError: They do not fit.
        """
        source = _check_weights(checkpoint)
        load_weights(self, source, prefix=self.checkpoint_prefix, ignored=self.ignored_keys)

    def save_pretrained(
        self, directory: str | Path, *, dtype: str | None = None, shard_size: int = SHARD_SIZE
    ) -> None:
        """Write ``config.json`` and the weights into ``directory``, in the form that ``from_pretrained`` reads.

        Args:
            directory: Made if need be.
            dtype: ``"float32"`` or ``"float16"``; None keeps the parameters' own.
            shard_size: Most bytes in a weights file; beyond it they are split.
        """
        saved = dtype or next((str(p.dtype).lower() for p in self.get_parameters()), "float32")
        data = {**self.config.to_file_dict(), "architectures": [type(self).__name__], "dtype": saved}
        save_weights(self, Path(directory), dtype=dtype, shard_size=shard_size)
        write_json(Path(directory) / CONFIG_FILE, data)

    def num_parameters(self) -> int:
        """Return the number of weights."""
        return sum(math.prod(parameter.shape) for parameter in self.get_parameters())

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the model's cache; models that cannot decode have none."""
        raise UnsupportedError(f"{type(self).__name__} has no key-value cache, so it cannot generate")

    @property
    def max_positions(self) -> int:
        """The longest sequence in tokens."""
        return int(getattr(self.config, "seq_length", 0))

    def generate(self, input_ids: Tensor | np.ndarray | list[int] | list[list[int]], **options: Any) -> list[list[int]]:
        """Return each prompt's ids followed by the generated ones; see :func:`mf_core.generation.generate`."""
        from .generation import generate

        return generate(self, input_ids, **options)


def _check_weights(checkpoint: Checkpoint) -> Source:
    """Return where a checkpoint's weights are; raise FileMissingError where there are none to be had."""
    if checkpoint.weights is None:
        raise FileMissingError(
            f"{checkpoint.name!r} has no weights", value=checkpoint.name, why=checkpoint.note or None,
            hint="name a checkpoint that has, or build a model with random weights by from_config(config)",
        )
    return checkpoint.weights
