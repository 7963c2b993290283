"""The masked autoencoder of images (He et al., 2022).

Shapes: B images, C channels, H and W pixels, N patches, K of them kept, E hidden size, D that of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mf_core.models import (
    VISION_NAMES,
    Encoder,
    EncoderLayer,
    EncoderSpec,
    NamedParts,
    Part,
    VisionBase,
    VisionEncoder,
    VisionModel,
    make_norm,
)
from mf_core.nn import Linear, parameter

from .config import ViTMAEConfig


def sinusoids(side: int, width: int) -> np.ndarray:
    """Return the fixed positions of ``side * side`` patches after that of the class token, ``(1, N + 1, width)`` fp32.

    The first half is of the column, the second of the row; each is sines and then cosines.
    """
    rates = 1.0 / 10000 ** (np.arange(width // 4, dtype=np.float64) / (width // 4))
    rows, columns = (index.reshape(-1, 1) * rates for index in np.indices((side, side)))
    table = np.concatenate([np.sin(columns), np.cos(columns), np.sin(rows), np.cos(rows)], 1)
    found: np.ndarray = np.concatenate([np.zeros((1, width)), table])[None].astype(np.float32)
    return found


class MaskedEncoder(VisionEncoder):
    """An encoder that reads some of the patches, at fixed positions."""

    kept = 0

    def add_embeddings(self, spec: EncoderSpec, dtype: str) -> None:
        """See the base class."""
        super().add_embeddings(spec, dtype)
        assert spec.patches is not None
        side = spec.patches.image[0] // spec.patches.patch[0]
        table = Parameter(Tensor(sinusoids(side, spec.width)), requires_grad=False)
        self.add_part("position_embedding", table)

    def construct(  # type: ignore[override]  # images, not ids
        self, pixel_values: Tensor, noise: Tensor | None = None
    ) -> Any:
        """Return the hidden states; with ``noise`` ``(B, N)``, of the patches whose noise is least, and two more.

        Returns:
            ``(B, 1 + N, E)``; or ``(B, 1 + K, E)``, the mask ``(B, N)`` fp32, 1 where a patch is masked, and each
            patch's rank by noise, ``(B, N)`` int32.
        """
        patches = self.embed_patches(pixel_values)
        if noise is None:
            return self.run_layers(self.with_class_token(patches), None, None)
        _, order = ops.sort(ops.cast(noise, mstype.float32), 1)
        _, ranks = ops.sort(ops.cast(order, mstype.float32), 1)
        ranks = ops.cast(ranks, mstype.int32)
        kept = ops.cast(order[:, : self.kept], mstype.int32)
        index = ops.broadcast_to(kept.expand_dims(-1), (*kept.shape, self.width))
        hidden = self.run_layers(self.with_class_token(ops.gather_elements(patches, 1, index)), None, None)
        return hidden, ops.cast(ranks >= self.kept, mstype.float32), ranks


class ViTMAEModel(VisionModel):
    """The encoder."""

    config_class: ClassVar[type[ViTMAEConfig]] = ViTMAEConfig
    encoder_class: ClassVar[type[Encoder]] = MaskedEncoder
    has_pooler: ClassVar[bool] = False

    def add_head(self, config: ViTMAEConfig) -> None:
        """See the base class."""
        self.encoder.kept = config.kept

    def construct(self, pixel_values: Tensor, noise: Tensor | None = None) -> Any:
        """Return the hidden states ``(B, 1 + N, E)`` fp32 of all patches; with noise, see :class:`MaskedEncoder`.

        Args:
            pixel_values: ``(B, C, H, W)`` fp32.
            noise: ``(B, N)``, distinct numbers; the patches with the largest are masked. None: no patch is masked.
        """
        if noise is None:
            return ops.cast(self.encoder(pixel_values), mstype.float32)
        hidden, mask, ranks = self.encoder(pixel_values, noise)
        return ops.cast(hidden, mstype.float32), mask, ranks


class PixelDecoder(NamedParts):
    """Layers that make pixels of what the encoder made of the kept patches, and of a mask token for each other one."""

    embedding, layers, last_norm, prediction = Part(), Part(), Part(), Part()
    mask_token, position_embedding = Part(), Part()

    def __init__(self, config: ViTMAEConfig, dtype: str) -> None:
        super().__init__({
            **VISION_NAMES, "embedding": "decoder_embed", "layers": "decoder_encoder.layer",
            "last_norm": "decoder_norm", "prediction": "decoder_pred", "mask_token": "mask_token",
            "position_embedding": "decoder_pos_embed",
        })  # fmt: skip
        own = config.decoder_config()
        width, std = own.hidden_size, config.initializer_range
        side = own.image_shape[0] // own.patch_shape[0]
        pixels = own.patch_shape[0] * own.patch_shape[1] * own.num_channels
        self.width = width
        self.add_part("embedding", Linear(config.hidden_size, width, std=std, dtype=dtype, outputs_first=True))
        self.add_part("mask_token", parameter((1, 1, width), ("normal", std)))
        self.add_part("position_embedding", Parameter(Tensor(sinusoids(side, width)), requires_grad=False))
        specs = [own.layer_spec(layer) for layer in range(own.num_layers)]
        self.add_part("layers", nn.CellList([EncoderLayer(s, own.num_tokens, self.names, dtype) for s in specs]))
        self.add_part("last_norm", make_norm(own.norm_spec(), width))
        self.add_part("prediction", Linear(width, pixels, std=std, dtype=dtype, outputs_first=True))

    def construct(self, hidden: Tensor, ranks: Tensor) -> Tensor:
        """Return the pixels of all patches, ``(B, N, P * P * C)``.

        Args:
            hidden: ``(B, 1 + K, E)``.
            ranks: ``(B, N)``: the index of each patch among the kept ones, K or more where it is masked.
        """
        x = self.embedding(hidden)
        batch, count = ranks.shape
        masks = ops.broadcast_to(ops.cast(self.mask_token, x.dtype), (batch, count + 1 - x.shape[1], self.width))
        index = ops.broadcast_to(ranks.expand_dims(-1), (batch, count, self.width))
        patches = ops.gather_elements(ops.concat((x[:, 1:], masks), 1), 1, index)
        x = ops.concat((x[:, :1], patches), 1)
        x = x + ops.broadcast_to(ops.cast(self.position_embedding, x.dtype), x.shape)
        bias = ops.zeros((1, 1, count + 1, count + 1), mstype.float32)
        for layer in self.layers:
            x = layer(x, None, bias)
        return self.prediction(self.last_norm(x))[:, 1:]


class ViTMAEForPreTraining(VisionBase):
    """The masked autoencoder: it restores the pixels of masked patches."""

    config_class: ClassVar[type[ViTMAEConfig]] = ViTMAEConfig
    encoder_class: ClassVar[type[Encoder]] = MaskedEncoder
    other_heads: ClassVar[tuple[str, ...]] = (r"^classifier\.",)
    names: Mapping[str, str] = {**VISION_NAMES, "decoder": "decoder"}

    decoder = Part()

    def add_head(self, config: ViTMAEConfig) -> None:
        """See the base class."""
        self.encoder.kept = config.kept
        self.add_head_part("decoder", PixelDecoder(config, self.compute_dtype))

    def construct(  # type: ignore[override]  # it is not called without noise
        self, pixel_values: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the pixels of all patches, ``(B, N, P * P * C)`` fp32, and the mask ``(B, N)``, 1 where masked.

        Args:
            pixel_values: ``(B, C, H, W)`` fp32.
            noise: ``(B, N)``, distinct numbers; the patches with the largest are masked.
        """
        hidden, mask, ranks = self.encoder(pixel_values, noise)
        return ops.cast(self.decoder(hidden, ranks), mstype.float32), mask
