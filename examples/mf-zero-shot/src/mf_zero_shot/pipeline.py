"""The task's inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mf_core import Pipeline, PretrainedModel, PretrainedTokenizer
from mf_core.errors import ArgumentError, ArgumentTypeError, check_options
from mindspore import Tensor

from .scoring import PROMPT, LabelScores, Row, arrays, encode

_OPTIONS: Mapping[str, Any] = {"labels": ("good", "bad"), "prompt": PROMPT, "batch_size": 8}


class ZeroShotPipeline(Pipeline):
    """Tells which of several labels fits a text: the one that a language model finds likeliest after it.

    Args:
        model: A language model.
        tokenizer: Its tokenizer.
        **options: Defaults of the calls.
    """

    default_model: ClassVar[str | None] = "gpt2_tiny"
    head: ClassVar[str] = "causal_lm"
    tokenizer: PretrainedTokenizer

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        self._settle({})  # so that what is wrong is said here, and not at the first call
        self._scores = LabelScores(model)

    def __call__(self, inputs: str | Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Return the labels of each text, the likeliest first.

        Args:
            inputs: A text, or a list of texts.
            **options: ``labels`` (default ``("good", "bad")``), two or more; ``prompt`` (default ``"{text} It was
                {label}"``), which ends in the label; ``batch_size`` (default 8): texts that go through the model
                together.

        Returns:
            For each text ``labels``, and ``scores``: their probabilities, which add up to 1.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range, or a text is empty or no string.
            InputTooLongError: A text does not fit the model's context.
        """
        settled = self._settle(options)
        labels, size = settled["labels"], settled["batch_size"]
        context = self.model.max_positions
        each = [
            encode(self.tokenizer, text, labels, settled["prompt"], context) for text in _texts(inputs)
        ]
        results = []
        for start in range(0, len(each), size):
            rows = [row for text in each[start : start + size] for row in text]
            results += [_ranked(labels, scores) for scores in self._score(rows).reshape(-1, len(labels))]
        return results

    def _score(self, rows: list[Row]) -> np.ndarray[Any, Any]:
        training = self.model.training
        self.model.set_train(False)
        try:
            scores: np.ndarray[Any, Any] = self._scores(*map(Tensor, arrays(rows))).asnumpy()
        finally:
            self.model.set_train(training)
        return scores

    def _settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, checked: defaults, those of this pipeline, those of the call."""
        given = {**self.options, **options}
        check_options(given, _OPTIONS, "zero_shot_classification")
        settled = {**_OPTIONS, **given}
        size, prompt = settled["batch_size"], settled["prompt"]
        settled["labels"] = check_labels(settled["labels"])
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ArgumentError(f"batch_size={size!r} is not a whole number of at least 1", value=size)
        if not isinstance(prompt, str) or "{text}" not in prompt or not prompt.endswith("{label}"):
            raise ArgumentError(
                f"prompt={prompt!r} does not hold {{text}} and end in {{label}}", value=prompt,
                hint=f"the default is {PROMPT!r}",
            )  # fmt: skip
        return settled


def check_labels(labels: Any) -> list[str]:
    """Return labels as a list; raise ArgumentError where they are not two or more different words."""
    found = list(labels) if isinstance(labels, (list, tuple)) else []
    if len(found) < 2 or len(set(map(str, found))) < len(found) or not all(
        isinstance(label, str) and label.strip() for label in found
    ):
        raise ArgumentError(
            f"labels={labels!r} are not two or more different words", value=labels, hint="labels=['good', 'bad']"
        )
    return found


def _texts(inputs: Any) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise ArgumentTypeError(f"a text is a string, or a list of them, not {inputs!r:.80}", value=inputs)
    if not all(text.strip() for text in texts):
        raise ArgumentError("a text is empty", value=inputs, hint="give it some words")
    return list(texts)


def _ranked(labels: Sequence[str], scores: np.ndarray[Any, Any]) -> dict[str, Any]:
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    return {"labels": [labels[i] for i in order], "scores": [float(shares[i]) for i in order]}
