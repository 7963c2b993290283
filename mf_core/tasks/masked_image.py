"""Restoring the masked patches of images.

Shapes: B images, C channels, H and W pixels, N patches, P a patch's side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import ArgumentError
from ..models.base import PretrainedModel
from ..models.vision_encoder import to_patches
from .image_pipeline import ImagePipeline
from .image_records import ImageRecipe, image_records


class MaskedImageModelingPipeline(ImagePipeline):
    """Returns images with the masked patches restored by the model.

    Option beside those of :class:`~mf_core.tasks.image_pipeline.ImagePipeline`:

    * ``seed`` (default 0): chooses the patches that are masked; every image of a call has the same.

    Returns:
        A list with ``{"image", "mask"}`` for each image: the picture, as the model reads it, with masked patches
        replaced (Pillow), and which patches those are, ``(rows, columns)`` bool.
    """

    head: ClassVar[str] = "pretraining"
    task: ClassVar[str] = "masked_image_modeling"
    names: ClassVar[tuple[str, ...]] = ("seed",)

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        seed = options.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ArgumentError(f"seed={seed!r} is not a whole number of at least 0", value=seed)

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        config, pixels = self.model.config, self.pixel_values(items, options)
        height, width = config.patch_shape
        rows, columns = pixels.shape[2] // height, pixels.shape[3] // width
        noise = np.random.default_rng(options.get("seed", 0)).random((1, rows * columns), np.float32)
        logits, mask = self.model(Tensor(pixels), Tensor(noise.repeat(len(items), 0)))
        found, hidden = logits.asnumpy(), mask.asnumpy() > 0
        patches = to_patches(Tensor(pixels), (height, width), channels_last=True).asnumpy()
        if config.norm_pix_loss:
            found = found * np.sqrt(patches.var(-1, ddof=1, keepdims=True) + 1e-6) + patches.mean(-1, keepdims=True)
        whole = np.where(hidden[:, :, None], found, patches)
        grid = whole.reshape(len(items), rows, columns, height, width, -1).transpose(0, 5, 1, 3, 2, 4)
        restored = grid.reshape(len(items), -1, rows * height, columns * width)
        return [
            {"image": self.image_processor.picture(image), "mask": each.reshape(rows, columns)}
            for image, each in zip(restored, hidden, strict=True)
        ]  # fmt: skip


class MaskedImageModelingRecipe(ImageRecipe):
    """Restoring the pixels of masked patches (He et al., 2022).

    A dataset is a folder of pictures, or has records with ``image``. Which patches of an image are masked follows from
    its number and ``data_seed`` (else ``seed``), so that a run that is resumed sees the same.
    """

    head: ClassVar[str] = "pretraining"

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``where``, ``image``, ``number`` and ``counted``."""
        records = self.readable(image_records(dataset, name, ("image",), self.args.on_bad_record), name)
        return [
            {"where": where, "image": record["image"], "number": number, "counted": 1.0}
            for number, (where, record) in enumerate(records)
        ]  # fmt: skip

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return pixel values ``(B, C, H, W)``, noise ``(B, N)`` and which images count ``(B,)``, fp32 each."""
        seed, count = self.args.data_seed or self.args.seed or 0, self.model.config.num_tokens - 1
        noise = [np.random.default_rng((seed, each["number"])).random(count, np.float32) for each in examples]
        return self.pixel_values(examples), np.stack(noise), np.array([e["counted"] for e in examples], np.float32)

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "counted": 0.0}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return PixelLoss(self.model)


class PixelLoss(nn.Cell):
    """Mean squared error of masked patches' pixels, as ``(mean over images, number of images)``.

    Args:
        model: Maps pixel values and noise to pixels ``(B, N, P * P * C)`` and a mask ``(B, N)``.
    """

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.patch = model, model.config.patch_shape
        self.normalizes = bool(model.config.norm_pix_loss)

    def construct(self, pixel_values: Tensor, noise: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """See the recipe's ``collate`` for the shapes."""
        found, mask = self.model(pixel_values, noise)
        target = to_patches(pixel_values, self.patch, channels_last=True)
        if self.normalizes:
            centred = target - target.mean(-1, keep_dims=True)
            variance = ops.square(centred).sum(-1, keepdims=True) / (target.shape[-1] - 1)
            target = centred / ops.sqrt(variance + 1e-6)
        losses = ops.square(found - target).mean(-1) * mask
        by_image = losses.sum(-1) / mask.sum(-1)
        images = counted.sum()
        return (by_image * counted).sum() / ops.maximum(images, Tensor(1.0, ms.float32)), images
