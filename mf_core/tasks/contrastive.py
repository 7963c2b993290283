"""Training a model that compares images and texts.

Shapes: B pairs, S tokens, C channels, H and W pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import DataError
from ..models.base import PretrainedModel
from ..nn import CrossEntropy
from .image_records import ImageRecipe, image_records
from .labelled import width_of
from .text_pipeline import pad


class ContrastiveRecipe(ImageRecipe):
    """Telling which text of a batch belongs to which image (Radford et al., 2021, section 2.3).

    Records have ``image`` (a path, relative to the file that names it, or a picture) and ``text``. A pair is contrasted
    with the other pairs of its batch on the same device. Texts that are longer than the model's context are cut,
    with a warning that counts them.
    """

    head: ClassVar[str] = "zero_shot_image_classification"
    modalities: ClassVar[tuple[str, ...]] = ("image", "text")

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``where``, ``image``, ``row`` and ``width``."""
        if self.tokenizer is None:
            raise DataError(f"{name} has texts, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        records = self.readable(image_records(dataset, name, ("image", "text"), self.args.on_bad_record), name)
        special, limit = self.tokenizer.prompt_special_tokens, int(self.model.max_positions)
        whole = [self.tokenizer.encode_row(record["text"], None, special=special) for _, record in records]
        long = sum(len(row.ids) > limit for row in whole)
        if long:
            warnings.warn(f"{name}: {long} of {len(whole)} texts were cut to {limit} tokens", stacklevel=2)
        rows = [
            row if len(row.ids) <= limit
            else self.tokenizer.encode_row(record["text"], None, special=special, limit=limit)
            for row, (_, record) in zip(whole, records, strict=True)
        ]  # fmt: skip
        width = width_of(rows, limit)
        return [
            {"where": where, "image": record["image"], "row": row, "width": width}
            for (where, record), row in zip(records, rows, strict=True)
        ]  # fmt: skip

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids and mask ``(B, S)`` int32, and pixel values ``(B, C, H, W)`` fp32."""
        assert self.tokenizer is not None
        pad_id = self.tokenizer.pad_token_id or 0
        ids, mask, _ = pad([example["row"] for example in examples], pad_id)
        missing = ((0, 0), (0, int(examples[0]["width"]) - ids.shape[1]))
        ids, mask = np.pad(ids, missing, constant_values=pad_id), np.pad(mask, missing)
        return ids, mask, self.pixel_values(examples)

    def network(self) -> nn.Cell:
        """See the base class."""
        return ContrastiveLoss(self.model)

    def tokens(self, batch: tuple[np.ndarray, ...]) -> int:
        """See the base class."""
        return int(batch[0].size)


class ContrastiveLoss(nn.Cell):
    """Cross-entropy over the texts of a batch for each image, and over the images for each text.

    Args:
        model: Maps ids, pixel values and a mask to logits ``(B, B)`` of images over texts and of texts over images.
    """

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.cross_entropy = model, CrossEntropy()

    def construct(self, ids: Tensor, mask: Tensor, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the number of pairs."""
        by_image, by_text, _, _ = self.model(ids, pixel_values, mask)
        pairs = ops.arange(ids.shape[0]).astype(ms.int32)
        loss = (self.cross_entropy(by_image, pairs).mean() + self.cross_entropy(by_text, pairs).mean()) / 2
        return loss, Tensor(ids.shape[0], ms.float32)
