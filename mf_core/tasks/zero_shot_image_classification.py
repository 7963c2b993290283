"""Classifying images by any labels, with a model that compares images and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor

from ..errors import ArgumentError, InputTooLongError
from .candidate_labels import check_candidates
from .image_pipeline import ImagePipeline
from .text_pipeline import pad, softmax


class ZeroShotImageClassificationPipeline(ImagePipeline):
    """Returns how well each of some labels describes an image (Radford et al., 2021, section 3.1).

    Options beside those of :class:`~mf_core.tasks.image_pipeline.ImagePipeline`:

    * ``candidate_labels``: the names of the labels. It has to be given, here or when the pipeline is made.
    * ``hypothesis_template`` (default ``"This is a photo of {}."``): makes a text of a label.

    Returns:
        A list with ``[{"score", "label"}, …]`` for each image, the likeliest first; an image's scores sum to 1.
    """

    head: ClassVar[str] = "zero_shot_image_classification"
    task: ClassVar[str] = "zero_shot_image_classification"
    modalities: ClassVar[tuple[str, ...]] = ("image", "text")
    names: ClassVar[tuple[str, ...]] = ("candidate_labels", "hypothesis_template")

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        check_candidates(options)

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        labels = options.get("candidate_labels")
        if labels is None:
            raise ArgumentError(f"{self.task} needs candidate_labels", hint='candidate_labels=["a cat", "a dog"]')
        texts = self.text_features(labels, options.get("hypothesis_template", "This is a photo of {}."))
        images = self.model.get_image_features(Tensor(self.pixel_values(items, options))).asnumpy()
        scale = float(np.exp(self.model.logit_scale.asnumpy()))
        scores = softmax(scale * _unit(images) @ _unit(texts).T)
        order = (-scores).argsort(-1, kind="stable")
        return [
            [{"score": float(row[i]), "label": labels[i]} for i in best]
            for row, best in zip(scores, order, strict=True)
        ]  # fmt: skip

    def text_features(self, labels: list[str], template: str) -> np.ndarray:
        """Return the vectors of the labels' texts, ``(labels, P)``."""
        assert self.tokenizer is not None
        special = self.tokenizer.prompt_special_tokens
        rows = [self.tokenizer.encode_row(template.replace("{}", label), None, special=special) for label in labels]
        limit = int(self.model.max_positions)
        for label, row in zip(labels, rows, strict=True):
            if len(row.ids) > limit:
                raise InputTooLongError(
                    f"the text of the label {label!r:.60} has {len(row.ids)} tokens, and the limit is {limit}",
                    value=label, hint="use a shorter label or hypothesis_template",
                )  # fmt: skip
        ids, mask, _ = pad(rows, self.tokenizer.pad_token_id or 0)
        features: np.ndarray = self.model.get_text_features(Tensor(ids), Tensor(mask)).asnumpy()
        return features


def _unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found
