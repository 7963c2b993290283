"""Hyper-parameters of CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, field_validator

from mf_core.config import DType, PretrainedConfig, TokenId
from mf_core.models import EncoderConfig, EncoderSpec, LayerSpec, PatchSpec, VisionConfig

C = TypeVar("C", bound="CLIPConfig")
_COMMON = {
    "hidden_size": "hidden_size", "num_layers": "num_hidden_layers", "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size", "hidden_act": "hidden_act", "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_eps", "attention_probs_dropout_prob": "attention_dropout",
}  # fmt: skip


class CLIPTextConfig(EncoderConfig):
    """Configuration of the texts' tower; see :class:`mf_core.models.EncoderConfig` for the fields.

    Attributes:
        eos_token_id: The token whose hidden state stands for the text; 2, as old checkpoints have it, means the token
            with the largest number.
    """

    model_type: ClassVar[str] = "clip_text_model"
    json_names: ClassVar[Mapping[str, str]] = {
        **_COMMON, "vocab_size": "vocab_size", "seq_length": "max_position_embeddings",
        "eos_token_id": "eos_token_id", "pad_token_id": "pad_token_id",
    }  # fmt: skip
    unused: ClassVar[frozenset[str]] = frozenset({
        "type_vocab_size", "classifier_dropout", "hidden_dropout_prob", "tie_word_embeddings", "num_labels",
        "id2label", "label2id",
    })  # fmt: skip

    vocab_size: Annotated[int, Field(gt=0)] = 49408
    hidden_size: Annotated[int, Field(gt=0)] = 512
    num_heads: Annotated[int, Field(gt=0)] = 8
    intermediate_size: Annotated[int, Field(gt=0)] = 2048
    hidden_act: str = "quick_gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seq_length: Annotated[int, Field(gt=0)] = 77
    type_vocab_size: int = 0
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    pad_token_id: TokenId = 1
    eos_token_id: TokenId = 49407

    def layer_spec(self, layer: int) -> LayerSpec:
        """See the base class."""
        from dataclasses import replace

        return replace(super().layer_spec(layer), norms="pre")

    def encoder_spec(self) -> EncoderSpec:
        """See the base class."""
        from dataclasses import replace

        return replace(super().encoder_spec(), embedding_norm=None, last_norm=self.norm_spec())


class CLIPVisionConfig(VisionConfig):
    """Configuration of the images' tower; see :class:`mf_core.models.VisionConfig` for the fields."""

    model_type: ClassVar[str] = "clip_vision_model"
    json_names: ClassVar[Mapping[str, str]] = {
        **_COMMON, "image_size": "image_size", "patch_size": "patch_size", "num_channels": "num_channels",
    }  # fmt: skip
    unused: ClassVar[frozenset[str]] = frozenset({
        "hidden_dropout_prob", "qkv_bias", "num_labels", "id2label", "label2id",
    })  # fmt: skip

    hidden_act: str = "quick_gelu"
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    patch_size: Annotated[int, Field(gt=0)] = 32

    def patch_spec(self) -> PatchSpec:
        """See the base class."""
        return PatchSpec(self.image_shape, self.patch_shape, self.num_channels, bias=False, batched=False)

    def encoder_spec(self) -> EncoderSpec:
        """See the base class."""
        from dataclasses import replace

        return replace(super().encoder_spec(), embedding_norm=self.norm_spec())


class CLIPConfig(PretrainedConfig):
    """Configuration of CLIP.

    Attributes:
        text_config, vision_config: Those of the two towers; mappings are accepted.
        projection_dim: Width of the space that texts and images share.
        logit_scale_init_value: Logarithm of the factor of the similarities, at the beginning of training.
        compute_dtype: Type to compute in.
    """

    model_type: ClassVar[str] = "clip"
    json_names: ClassVar[Mapping[str, str]] = {
        "text_config": "text_config", "vision_config": "vision_config", "projection_dim": "projection_dim",
        "logit_scale_init_value": "logit_scale_init_value",
    }  # fmt: skip

    text_config: CLIPTextConfig = Field(default_factory=CLIPTextConfig)
    vision_config: CLIPVisionConfig = Field(default_factory=CLIPVisionConfig)
    projection_dim: Annotated[int, Field(gt=0)] = 512
    logit_scale_init_value: float = 2.6592
    compute_dtype: DType = "float16"

    @field_validator("text_config", "vision_config", mode="before")
    @classmethod
    def _read(cls, value: Any, info: Any) -> Any:
        kind = CLIPTextConfig if info.field_name == "text_config" else CLIPVisionConfig
        return kind.from_dict(value) if isinstance(value, Mapping) else value

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any], **overrides: Any) -> C:
        """See the base class; ``text_config_dict`` and ``vision_config_dict`` of old files go before the others."""
        merged = dict(data)
        for name in ("text_config", "vision_config"):
            older = merged.get(f"{name}_dict")
            if isinstance(older, Mapping) and isinstance(merged.get(name) or {}, Mapping):
                merged[name] = {**(merged.get(name) or {}), **older}
        return super().from_dict(merged, **overrides)

    def to_file_dict(self) -> dict[str, Any]:
        """See the base class."""
        towers = {name: getattr(self, name).to_file_dict() for name in ("text_config", "vision_config")}
        return {**super().to_file_dict(), **towers}

    @property
    def seq_length(self) -> int:
        """Most tokens of a text."""
        return self.text_config.seq_length

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary."""
        return self.text_config.vocab_size

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        return self.vision_config.image_shape

    @property
    def image_size(self) -> int | tuple[int, int]:
        """Sides of an image in pixels."""
        return self.vision_config.image_size

    @property
    def num_channels(self) -> int:
        """Channels of an image."""
        return self.vision_config.num_channels
