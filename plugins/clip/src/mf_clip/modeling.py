"""CLIP: a tower for texts and one for images, trained to agree (Radford et al., 2021).

Shapes: B texts, M images, S tokens, C channels, H and W pixels, E a tower's width, P the width of the common space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mf_core.models import VISION_NAMES, Encoder, EncoderSpec, NamedParts, Part, PretrainedModel, VisionEncoder
from mf_core.nn import CausalBias, Linear, parameter

from .config import CLIPConfig

_LAYERS = {
    "layers": "encoder.layers", "attention": "self_attn", "query": "q_proj", "key": "k_proj", "value": "v_proj",
    "output": "out_proj", "attention_norm": "layer_norm1", "feed_forward_norm": "layer_norm2", "feed_forward": "mlp",
    "up": "fc1", "down": "fc2",
}  # fmt: skip
_TEXT_NAMES = {
    **VISION_NAMES, **_LAYERS, "embedding": "embeddings.token_embedding",
    "position_embedding": "embeddings.position_embedding", "last_norm": "final_layer_norm",
}  # fmt: skip
_VISION_NAMES = {
    **VISION_NAMES, **_LAYERS, "class_token": "embeddings.class_embedding",
    "patch_embedding": "embeddings.patch_embedding", "position_embedding": "embeddings.position_embedding.weight",
    "embedding_norm": "pre_layrnorm", "last_norm": "post_layernorm",
}  # fmt: skip


class TextTower(Encoder):
    """An encoder whose tokens attend to themselves and to earlier ones, as a decoder's do."""

    def __init__(self, spec: EncoderSpec, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(spec, names, dtype)
        self.bias = CausalBias()


class CLIPModel(PretrainedModel, NamedParts):
    """CLIP."""

    config_class: ClassVar[type[CLIPConfig]] = CLIPConfig
    ignored_keys: ClassVar[tuple[str, ...]] = (r"embeddings\.position_ids$",)
    lora_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")

    text_encoder, image_encoder = Part(), Part()
    text_projection, image_projection, logit_scale = Part(), Part(), Part()

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.names = {
            "text_encoder": "text_model", "image_encoder": "vision_model", "text_projection": "text_projection",
            "image_projection": "visual_projection", "logit_scale": "logit_scale",
        }  # fmt: skip
        dtype, text, vision = self.compute_dtype, config.text_config, config.vision_config
        self.add_part("text_encoder", TextTower(text.encoder_spec(), _TEXT_NAMES, dtype))
        self.add_part("image_encoder", VisionEncoder(vision.encoder_spec(), _VISION_NAMES, dtype))
        for role, width in (("text_projection", text.hidden_size), ("image_projection", vision.hidden_size)):
            self.add_part(role, Linear(
                width, config.projection_dim, std=width**-0.5, bias=False, dtype=dtype, outputs_first=True
            ))  # fmt: skip
        self.add_part("logit_scale", parameter((), config.logit_scale_init_value))
        self.eos = -1 if text.eos_token_id == 2 else text.eos_token_id
        for name, each in self.parameters_and_names():
            each.name = name
        self.post_init()

    def construct(
        self, input_ids: Tensor, pixel_values: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the similarities of images and texts, and their vectors, in fp32.

        Args:
            input_ids: ``(B, S)`` int32.
            pixel_values: ``(M, C, H, W)`` fp32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding; None: no padding.

        Returns:
            Logits ``(M, B)`` of images over texts, ``(B, M)`` of texts over images, and vectors of length 1: of the
            texts ``(B, P)`` and of the images ``(M, P)``.
        """
        texts = unit_length(self.get_text_features(input_ids, attention_mask))
        images = unit_length(self.get_image_features(pixel_values))
        scores = ops.matmul(texts, images.T) * ops.exp(ops.cast(self.logit_scale, mstype.float32))
        return scores.T, scores, texts, images

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the texts' vectors ``(B, P)`` fp32, not scaled; see :meth:`construct` for the arguments."""
        hidden = self.text_encoder(input_ids, attention_mask)
        length = input_ids.shape[1]
        is_last = input_ids == (ops.amax(input_ids, 1, True) if self.eos == -1 else self.eos)
        first = ops.cast(is_last, mstype.float32) * (length - ops.cast(ops.arange(length), mstype.float32))
        index = ops.cast(ops.argmax(first, 1), mstype.int32).reshape((-1, 1, 1))
        pooled = ops.gather_elements(hidden, 1, ops.broadcast_to(index, (hidden.shape[0], 1, hidden.shape[2])))
        return ops.cast(self.text_projection(pooled[:, 0]), mstype.float32)

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Return the images' vectors ``(M, P)`` fp32, not scaled; see :meth:`construct` for the arguments."""
        return ops.cast(self.image_projection(self.image_encoder(pixel_values)[:, 0]), mstype.float32)

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The layers of both towers."""
        layers: Any = [*self.text_encoder.layers, *self.image_encoder.layers]
        found: Sequence[nn.Cell] = layers
        return found

    @property
    def max_positions(self) -> int:
        """The longest text in tokens."""
        return int(self.config.seq_length)


def unit_length(vectors: Tensor) -> Tensor:
    """Return vectors ``(n, P)`` scaled to length 1."""
    return vectors / ops.sqrt(ops.square(vectors).sum(-1, keepdims=True))
