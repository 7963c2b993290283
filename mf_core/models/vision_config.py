"""The configuration that encoders of images share: Hugging Face's keys of ``config.json``, MindFormers' names.

Importing this module does not import mindspore.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pydantic import model_validator

from ..config import DType
from .encoder_config import Activation, Positive, PositiveFloat, Probability, encoder_layer
from .labels import LabelledConfig
from .layer_spec import EncoderSpec, LayerSpec, NormSpec, PatchSpec

V = TypeVar("V", bound="VisionConfig")


class VisionConfig(LabelledConfig):
    """Configuration of an encoder of images: by default, of ViT's kind. A family's class changes defaults and names.

    Attributes:
        hidden_size, num_layers, num_heads: Width, depth, attention heads.
        intermediate_size: Width of the feed-forward layer.
        hidden_act: Its activation.
        hidden_dropout_prob, attention_probs_dropout_prob: Dropouts, in training.
        initializer_range: Standard deviation of initial weights.
        layer_norm_eps: Added to variances.
        image_size, patch_size: Sides in pixels: one number, or height and width.
        num_channels: Channels of an image.
        qkv_bias: Whether queries, keys and values have biases.
        compute_dtype: Type to compute in.
    """

    json_names: ClassVar[Mapping[str, str]] = {
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "hidden_act": "hidden_act",
        "hidden_dropout_prob": "hidden_dropout_prob",
        "attention_probs_dropout_prob": "attention_probs_dropout_prob",
        "initializer_range": "initializer_range",
        "layer_norm_eps": "layer_norm_eps",
        "image_size": "image_size",
        "patch_size": "patch_size",
        "num_channels": "num_channels",
        "qkv_bias": "qkv_bias",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "embed_dim": "hidden_size", "depth": "num_layers", "in_channels": "num_channels", "num_classes": "num_labels",
        "drop_rate": "hidden_dropout_prob", "attention_dropout_rate": "attention_probs_dropout_prob",
    }  # fmt: skip

    hidden_size: Positive = 768
    num_layers: Positive = 12
    num_heads: Positive = 12
    intermediate_size: Positive = 3072
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    initializer_range: PositiveFloat = 0.02
    layer_norm_eps: PositiveFloat = 1e-12
    image_size: Positive | tuple[Positive, Positive] = 224
    patch_size: Positive | tuple[Positive, Positive] = 16
    num_channels: Positive = 3
    qkv_bias: bool = True
    compute_dtype: DType = "float16"

    @model_validator(mode="after")
    def _check_shapes(self: V) -> V:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        if any(patch > side for patch, side in zip(self.patch_shape, self.image_shape, strict=True)):
            raise ValueError(f"patch_size={self.patch_size} is more than image_size={self.image_size}")
        return self

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        return _pair(self.image_size)

    @property
    def patch_shape(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return _pair(self.patch_size)

    @property
    def num_tokens(self) -> int:
        """Patches of an image, and the class token."""
        return self.patch_spec().count + 1

    def patch_spec(self) -> PatchSpec:
        """Return the declaration of the patches."""
        return PatchSpec(self.image_shape, self.patch_shape, self.num_channels)

    def norm_spec(self) -> NormSpec:
        """Return the declaration of a norm."""
        return NormSpec("layer", self.layer_norm_eps)

    def layer_spec(self, layer: int) -> LayerSpec:
        """Return the declaration of a layer, counted from 0."""
        return encoder_layer(self, self.norm_spec(), norms="pre", bias=self.qkv_bias)

    def encoder_spec(self) -> EncoderSpec:
        """Return the declaration of the body."""
        return EncoderSpec(
            0, self.hidden_size, self.num_tokens, tuple(self.layer_spec(layer) for layer in range(self.num_layers)),
            None, embedding_dropout=self.hidden_dropout_prob, last_norm=self.norm_spec(), std=self.initializer_range,
            patches=self.patch_spec(),
        )  # fmt: skip


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
