"""Hyper-parameters of ViT and its masked autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from mf_core.models import VisionConfig

Positive = Annotated[int, Field(gt=0)]


class ViTConfig(VisionConfig):
    """Configuration of ViT; see :class:`mf_core.models.VisionConfig` for the other fields.

    Attributes:
        pooler_output_size: Width of the pooler; None: ``hidden_size``.
        pooler_act: Its activation.
    """

    model_type: ClassVar[str] = "vit"
    json_names: ClassVar[Mapping[str, str]] = {
        **VisionConfig.json_names, "pooler_output_size": "pooler_output_size", "pooler_act": "pooler_act",
    }  # fmt: skip

    pooler_output_size: Positive | None = None
    pooler_act: str = "tanh"


class ViTMAEConfig(VisionConfig):
    """Configuration of the masked autoencoder; see :class:`mf_core.models.VisionConfig` for the other fields.

    Attributes:
        decoder_hidden_size, decoder_num_layers, decoder_num_heads, decoder_intermediate_size: Sizes of the decoder.
        mask_ratio: Part of the patches that is masked.
        norm_pix_loss: Whether the targets of the loss are normalised patch by patch.
    """

    model_type: ClassVar[str] = "vit_mae"
    json_names: ClassVar[Mapping[str, str]] = {
        **VisionConfig.json_names,
        "decoder_hidden_size": "decoder_hidden_size", "decoder_num_layers": "decoder_num_hidden_layers",
        "decoder_num_heads": "decoder_num_attention_heads", "decoder_intermediate_size": "decoder_intermediate_size",
        "mask_ratio": "mask_ratio", "norm_pix_loss": "norm_pix_loss",
    }  # fmt: skip

    decoder_hidden_size: Positive = 512
    decoder_num_layers: Positive = 8
    decoder_num_heads: Positive = 16
    decoder_intermediate_size: Positive = 2048
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    norm_pix_loss: bool = False

    @model_validator(mode="after")
    def _check_decoder(self: Any) -> Any:
        if self.decoder_hidden_size % self.decoder_num_heads:
            raise ValueError(
                f"decoder_hidden_size={self.decoder_hidden_size} is not a multiple of "
                f"decoder_num_heads={self.decoder_num_heads}"
            )
        for name in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, name) % 4:
                raise ValueError(f"{name}={getattr(self, name)} is not a multiple of 4, which the positions need")
        down, across = (side // patch for side, patch in zip(self.image_shape, self.patch_shape, strict=True))
        if down != across:
            raise ValueError(f"image_size={self.image_size} has {down} x {across} patches, and they are to be a square")
        if self.kept < 1:
            raise ValueError(f"mask_ratio={self.mask_ratio} leaves none of {self.num_tokens - 1} patches")
        return self

    @property
    def kept(self) -> int:
        """Patches that are not masked."""
        return int((self.num_tokens - 1) * (1 - self.mask_ratio))

    def decoder_config(self) -> VisionConfig:
        """Return the configuration of the decoder's layers."""
        return VisionConfig(
            hidden_size=self.decoder_hidden_size, num_layers=self.decoder_num_layers,
            num_heads=self.decoder_num_heads, intermediate_size=self.decoder_intermediate_size,
            **{name: getattr(self, name) for name in (
                "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range",
                "layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias",
            )},
        )  # fmt: skip
