"""Training classifiers of images.

Shapes: B images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor, nn

from ..trainer.recipe import EvalPrediction
from .image_records import ImageRecipe, class_names, image_records
from .labelled import IGNORED, ClassLoss, class_numbers, labels_of_data
from .text_pipeline import labels_of

_FIELDS = ("image", "label")


class ImageClassificationRecipe(ImageRecipe):
    """Classification of images.

    A dataset is a folder with a folder of pictures for each class, or has records with ``image`` (a path, relative to
    the file that names it, or a picture) and ``label`` (a name or a number from 0), as a ``.jsonl`` or ``.csv`` file. A
    new head gets its labels from the training data where the configuration names none. Evaluations report
    ``accuracy``.
    """

    head: ClassVar[str] = "image_classification"

    @classmethod
    def config_of_data(cls, config: Mapping[str, Any], dataset: Any, on_bad_record: Any) -> dict[str, Any]:
        """See the base class."""
        if dataset is None or config.get("id2label") or "num_labels" in config:
            return {}
        names = class_names(dataset)
        if names is not None:
            return {"id2label": dict(enumerate(names))}
        records = image_records(dataset, "train_dataset", _FIELDS, on_bad_record)
        return labels_of_data(record["label"] for _, record in records)

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``where``, ``image`` and ``label``."""
        records = self.readable(image_records(dataset, name, _FIELDS, self.args.on_bad_record), name)
        names = labels_of(self.model, int(self.model.config.num_labels))
        labels = class_numbers(names, ((where, record["label"]) for where, record in records))
        return [
            {"where": where, "image": record["image"], "label": label}
            for (where, record), label in zip(records, labels, strict=True)
        ]  # fmt: skip

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return pixel values ``(B, C, H, W)`` fp32 and labels ``(B,)`` int32."""
        return self.pixel_values(examples), np.array([example["label"] for example in examples], np.int32)

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "label": IGNORED}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return ImageClassLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class."""
        return ImageClassLoss(self.model, best=True)

    def compute_metrics(self, prediction: EvalPrediction) -> Mapping[str, float]:
        """Return the accuracy."""
        return {"accuracy": float((prediction.predictions == prediction.label_ids).mean())}


class ImageClassLoss(ClassLoss):
    """Cross-entropy over the classes of images; see :class:`mf_core.tasks.labelled.ClassLoss`."""

    def construct(  # type: ignore[override]  # images, not ids
        self, pixel_values: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the base class; ``pixel_values`` are ``(B, C, H, W)``."""
        return self.of_logits(self.model(pixel_values), labels)
