"""Classifying texts, and pairs of them; by the model's labels, or by any labels through entailment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from .candidate_labels import check_candidates
from .text_pipeline import TextPipeline, labels_of, softmax


class TextClassificationPipeline(TextPipeline):
    """Returns the labels of texts with their scores.

    An input is a text, or a pair of them: a tuple, or a dict with ``text`` and ``text_pair``. Options beside those of
    :class:`~mf_core.tasks.text_pipeline.TextPipeline`:

    * ``top_k`` (default 1): number of labels; None: all.
    * ``multi_label`` (default False): labels do not exclude each other, and each score is an independent probability.
    * ``candidate_labels``: names of labels to choose from instead of the model's own, which has to be a model of
      natural language inference: a label's score is that of its hypothesis following from the text (Yin et al., 2019).
    * ``hypothesis_template`` (default ``"This example is {}."``): makes a hypothesis of a label.

    Returns:
        A list with ``[{"label", "score"}, …]`` for each input, the likeliest first.
    """

    head: ClassVar[str] = "sequence_classification"
    task: ClassVar[str] = "text_classification"
    names: ClassVar[tuple[str, ...]] = ("top_k", "multi_label", "candidate_labels", "hypothesis_template")

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        check_candidates(options)
        if "hypothesis_template" in options and options.get("candidate_labels") is None and (
            "candidate_labels" not in self.__dict__.get("options", {})
        ):
            raise ArgumentError(
                "hypothesis_template without candidate_labels has no effect", value=options["hypothesis_template"]
            )

    def is_one(self, inputs: Any) -> bool:
        """See the base class."""
        return isinstance(inputs, (str, tuple, Mapping))

    def read(self, item: Any) -> tuple[str, str | None]:
        """See the base class; the text and its pair."""
        if isinstance(item, Mapping):
            if not {"text"} <= set(item) <= {"text", "text_pair"}:
                raise ArgumentError(f"a pair has the keys text and text_pair, not {', '.join(map(str, item))}")
            item = (item["text"], item["text_pair"]) if item.get("text_pair") is not None else item["text"]
        if isinstance(item, tuple):
            if len(item) != 2:
                raise ArgumentError(f"a pair has two texts, not {len(item)}", value=item)
            first, second = (super(TextClassificationPipeline, self).read(text) for text in item)
            return first, second
        return super().read(item), None

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        candidates = options.get("candidate_labels")
        if candidates is not None:
            return [self._zero_shot(text, second, candidates, options) for text, second in items]
        pairs = [second for _, second in items]
        logits = self.logits(self.encode([text for text, _ in items], options, pairs))
        names = labels_of(self.model, logits.shape[-1])
        separate = options.get("multi_label", False) or len(names) == 1
        scores = 1 / (1 + np.exp(-logits)) if separate else softmax(logits)
        return [self._ranked(names, row, options) for row in scores]

    def _zero_shot(
        self, text: str, second: str | None, candidates: Sequence[str], options: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        if second is not None:
            raise ArgumentError("candidate_labels go with texts, not with pairs", value=second)
        names = [name.lower() for name in labels_of(self.model, int(self.model.config.num_labels))]
        entailed = next((i for i, name in enumerate(names) if name.startswith("entail")), None)
        if entailed is None:
            raise UnsupportedError(
                f"candidate_labels need a model of natural language inference, with a label entailment, not "
                f"{', '.join(names)}", value=candidates, hint="name one that was trained on MNLI",
            )  # fmt: skip
        template = options.get("hypothesis_template", "This example is {}.")
        hypotheses = [template.format(label) for label in candidates]
        logits = self.logits(self.encode([text] * len(candidates), options, hypotheses))
        against = next((i for i, name in enumerate(names) if name.startswith("contra")), 0 if entailed else -1)
        if options.get("multi_label", False) or len(candidates) == 1:
            scores = softmax(logits[:, [against, entailed]])[:, 1]
        else:
            scores = softmax(logits[:, entailed])
        return self._ranked(list(candidates), scores, {"top_k": None, **options})

    def _ranked(self, names: Sequence[str], scores: np.ndarray, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        best = (-scores).argsort(kind="stable")[: options.get("top_k", 1)]
        return [{"label": names[i], "score": float(scores[i])} for i in best]
