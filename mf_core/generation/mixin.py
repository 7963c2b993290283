"""What generation adds to models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..boundary import public
from ..errors import UnsupportedError
from .config import GenerationConfig
from .files import generation_config_of

if TYPE_CHECKING:
    import numpy as np
    from mindspore import Tensor

    from ..checkpoint.locate import Checkpoint
    from ..config import PretrainedConfig
    from .call import GenerationOutput

#: Options that a model's configuration has under another name.
_LENGTHS = {"max_decode_length": "max_length"}


class GenerationMixin:
    """Generation settings and :meth:`generate`, for models that can decode.

    Class attributes:
        is_encoder_decoder: Whether prompts are read by an encoder, and what is generated does not continue them.

    Attributes:
        generation_config: The defaults of :meth:`generate`: those of the checkpoint, or of the model's configuration.
    """

    is_encoder_decoder: ClassVar[bool] = False
    config: PretrainedConfig

    @property
    def memory_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of what an encoder-decoder model makes of a source."""
        raise UnsupportedError(f"{type(self).__name__} has no encoder")

    @property
    def generation_config(self) -> GenerationConfig:
        """The defaults of :meth:`generate`, which may be changed."""
        found = self.__dict__.get("_generation_config")
        if found is None:
            found = self.__dict__["_generation_config"] = GenerationConfig.from_model_config(self.config)
        settings: GenerationConfig = found
        return settings

    def _set_generation_config(self, checkpoint: Checkpoint, overrides: dict[str, Any]) -> None:
        """Take the generation settings of a checkpoint, changed by fields that the caller gave with it."""
        settings = generation_config_of(checkpoint, self.config)
        given = {_LENGTHS.get(name, name): value for name, value in overrides.items()}
        changed = {name: value for name, value in given.items() if name in GenerationConfig.model_fields}
        if "max_length" in changed and changed["max_length"] is not None:
            settings.max_new_tokens = None
        for name, value in changed.items():
            setattr(settings, name, value)
        self.__dict__["_generation_config"] = settings

    @public
    def generate(
        self, input_ids: Tensor | np.ndarray | list[int] | list[list[int]], **options: Any
    ) -> list[list[int]] | GenerationOutput:
        """Return each prompt's ids followed by the generated ones; see :func:`mf_core.generation.generate`.

        A model with an encoder returns the generated ids after the start token.
        """
        from . import generate

        return generate(self, input_ids, **options)  # type: ignore[arg-type]
