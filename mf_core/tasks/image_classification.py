"""Classifying images by the model's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor

from .image_pipeline import ImagePipeline
from .text_pipeline import labels_of, softmax


class ImageClassificationPipeline(ImagePipeline):
    """Returns the labels of images with their scores.

    Option beside those of :class:`~mf_core.tasks.image_pipeline.ImagePipeline`:

    * ``top_k`` (default 3): number of labels; None: all.

    Returns:
        A list with ``[{"score", "label"}, …]`` for each image, the likeliest first. Scores are shares, or independent
        probabilities where ``config.json`` has ``"problem_type": "multi_label_classification"``, or one label.
    """

    head: ClassVar[str] = "image_classification"
    task: ClassVar[str] = "image_classification"
    names: ClassVar[tuple[str, ...]] = ("top_k",)

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        logits = self.model(Tensor(self.pixel_values(items, options))).asnumpy()
        names = labels_of(self.model, logits.shape[-1])
        separate = self.model.config.extra.get("problem_type") == "multi_label_classification" or len(names) == 1
        scores = 1 / (1 + np.exp(-logits)) if separate else softmax(logits)
        best = (-scores).argsort(-1, kind="stable")[:, : options.get("top_k", 3)]
        return [
            [{"score": float(row[i]), "label": names[i]} for i in order]
            for row, order in zip(scores, best, strict=True)
        ]  # fmt: skip
