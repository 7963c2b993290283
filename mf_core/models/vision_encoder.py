"""Encoders of images, and the models over them that return hidden states or classes.

Shapes: B images, C channels, H and W pixels, N patches, S = N + 1 tokens, E hidden size, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ..nn import Linear, parameter
from ..nn.init import activation_dtype
from .encoder import Encoder, EncoderBase
from .feed_forward import make_activation
from .layer_spec import VISION_NAMES, EncoderSpec, PatchSpec
from .parts import Part


class PatchEmbedding(Linear):
    """Vectors of the patches of images: a linear layer whose weight has the shape of a convolution's, ``(E, C, P, P)``.

    Args:
        spec: The patches.
        width: E.
        std: Standard deviation of the weight's initial values.
        param_dtype: Type of the parameters.
        dtype: Type of the product.
    """

    def __init__(self, spec: PatchSpec, width: int, *, std: float, param_dtype: str, dtype: str) -> None:
        height, across = spec.patch
        super().__init__(
            spec.channels * height * across, width, std=std, bias=spec.bias, param_dtype=param_dtype, dtype=dtype,
            outputs_first=True,
        )  # fmt: skip
        self.patch, self.channels = spec.patch, spec.channels
        self.weight = parameter((width, spec.channels, height, across), ("normal", std), param_dtype)

    def construct(self, pixel_values: Tensor) -> Tensor:
        """Return ``(B, N, E)`` of ``(B, C, H, W)``, patches row by row."""
        patches = to_patches(pixel_values, self.patch)
        batch, count, width = patches.shape
        weight = ops.cast(self.weight.reshape((self.out_features, width)), self.dtype)
        rows = ops.cast(patches.reshape((-1, width)), self.dtype)
        product = self.matmul_outputs_first(rows, weight).reshape((batch, count, self.out_features))
        return product if self.bias is None else product + ops.cast(self.bias, product.dtype)


def to_patches(pixel_values: Tensor, patch: tuple[int, int], *, channels_last: bool = False) -> Tensor:
    """Return the pixels of each patch, ``(B, N, C * P * P)``, of images ``(B, C, H, W)``.

    Args:
        pixel_values: The images; what is left beside whole patches is not read.
        patch: Height and width of a patch.
        channels_last: Order a patch's pixels as ``(P, P, C)``, in place of ``(C, P, P)``.
    """
    batch, channels, height, width = pixel_values.shape
    down, across = height // patch[0], width // patch[1]
    whole = pixel_values[:, :, : down * patch[0], : across * patch[1]]
    grid = whole.reshape((batch, channels, down, patch[0], across, patch[1]))
    order = (0, 2, 4, 3, 5, 1) if channels_last else (0, 2, 4, 1, 3, 5)
    return ops.transpose(grid, order).reshape((batch, down * across, -1))


class VisionEncoder(Encoder):
    """The body: patches and a class token with learned positions, and layers over them.

    Args:
        spec: The declaration, with ``patches``.
        names: See :class:`mf_core.models.parts.NamedParts`.
        dtype: Type of the products.
    """

    class_token, patch_embedding = Part(), Part()

    def add_embeddings(self, spec: EncoderSpec, dtype: str) -> None:
        """Add the class token, the positions and the product of the patches."""
        assert spec.patches is not None
        ones, std = (1,) if spec.patches.batched else (), ("normal", spec.std)
        self.width, self.dtype = spec.width, activation_dtype(dtype)
        self.add_part("class_token", parameter((*ones, *ones, spec.width), std, spec.param_dtype))
        self.add_part("patch_embedding", PatchEmbedding(
            spec.patches, spec.width, std=spec.std, param_dtype=spec.param_dtype, dtype=dtype
        ))  # fmt: skip
        self.add_part("position_embedding", parameter((*ones, spec.length, spec.width), std, spec.param_dtype))

    def construct(self, pixel_values: Tensor) -> Tensor:  # type: ignore[override]  # images, not ids
        """Return the hidden states ``(B, S, E)`` of images ``(B, C, H, W)``; the class token is the first."""
        return self.run_layers(self.dropout(self.with_class_token(self.embed_patches(pixel_values))), None, None)

    def embed_patches(self, pixel_values: Tensor) -> Tensor:
        """Return the patches with their positions, ``(B, N, E)``."""
        patches = self.patch_embedding(pixel_values)
        positions = ops.cast(self.position_embedding, patches.dtype).reshape((1, -1, self.width))[:, 1:]
        return self.add(patches, ops.broadcast_to(positions, patches.shape))

    def with_class_token(self, patches: Tensor) -> Tensor:
        """Return patches ``(B, n, E)`` after the class token, ``(B, 1 + n, E)``, normed where the family does so."""
        positions = ops.cast(self.position_embedding, patches.dtype).reshape((1, -1, self.width))[:, :1]
        token = ops.cast(self.class_token, patches.dtype).reshape((1, 1, self.width)) + positions
        x = ops.concat((ops.broadcast_to(token, (patches.shape[0], 1, self.width)), patches), 1)
        return x if self.embedding_norm is None else self.embedding_norm(x)


class VisionBase(EncoderBase):
    """What models with an encoder of images for a body share; see :class:`mf_core.models.EncoderModel`."""

    names: Mapping[str, str] = VISION_NAMES
    encoder_class: ClassVar[type[Encoder]] = VisionEncoder
    other_heads: ClassVar[tuple[str, ...]] = (
        r"^classifier\.", r"^decoder\.", r"(^|\.)pooler\.", r"embeddings\.mask_token$",
    )  # fmt: skip

    def construct(self, pixel_values: Tensor) -> Any:
        """Return the model's output for images ``(B, C, H, W)`` fp32."""
        raise NotImplementedError

    @property
    def pixel_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return (self.config.num_channels, *self.config.image_shape)

    @property
    def max_positions(self) -> int:
        """Tokens of an image."""
        return int(self.config.num_tokens)


class VisionModel(VisionBase):
    """The body, and a pooler over the class token where the family has one."""

    is_body: ClassVar[bool] = True
    #: Whether the family's body has a pooler.
    has_pooler: ClassVar[bool] = True

    pooler = Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        if self.has_pooler:
            self.add_head_part("pooler", self.make_linear(config.pooler_output_size or config.hidden_size))
            self.act = make_activation(config.pooler_act)

    def construct(self, pixel_values: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the hidden states ``(B, S, E)`` and, with a pooler, the pooled class token, in fp32.

        Args:
            pixel_values: ``(B, C, H, W)`` fp32.
        """
        hidden = self.encoder(pixel_values)
        whole = ops.cast(hidden, mstype.float32)
        if self.pooler is None:
            return whole
        return whole, ops.cast(self.act(self.pooler(hidden[:, 0])), mstype.float32)


class VisionForImageClassification(VisionBase):
    """An encoder that classifies images, by their class token."""

    classifier = Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        self.add_head_part("classifier", self.make_linear(config.num_labels))

    def construct(self, pixel_values: Tensor) -> Tensor:
        """Return logits ``(B, L)`` fp32 of images ``(B, C, H, W)`` fp32."""
        return ops.cast(self.classifier(self.encoder(pixel_values)[:, 0]), mstype.float32)
