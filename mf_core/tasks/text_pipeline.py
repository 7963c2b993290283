"""What the pipelines share that run a model once over each text: inputs, options, batches.

Shapes: B texts, S tokens.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor

from ..errors import ArgumentError, ArgumentTypeError, InputTooLongError
from ..models.base import PretrainedModel
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.rows import Row
from ..utils.callers import callers_level
from .batched_pipeline import BatchedPipeline


class TextPipeline(BatchedPipeline):
    """Base of pipelines that run a model once over each text.

    Options of every call, beside that of :class:`~mf_core.tasks.batched_pipeline.BatchedPipeline`:

    * ``truncation`` (default False): cut texts that are longer than the context, with a warning that counts them;
      without it, one is an error.
    * ``max_length`` (default: the context): most tokens of a text.

    Args:
        model: A model with the task's head.
        tokenizer: Its tokenizer.
        **options: Defaults of the calls.
    """

    common: ClassVar[tuple[str, ...]] = (*BatchedPipeline.common, "truncation", "max_length")
    tokenizer: PretrainedTokenizer

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer, **options: Any) -> None:
        self.check(options)
        super().__init__(model, tokenizer, **options)
        self._parameters = list(inspect.signature(model.construct).parameters)

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        if options.get("truncation", False) not in (True, False):
            raise ArgumentError(f"truncation={options['truncation']!r} is neither True nor False")

    def is_one(self, inputs: Any) -> bool:
        """See the base class."""
        return isinstance(inputs, str)

    def read(self, item: Any) -> Any:
        """See the base class."""
        if not isinstance(item, str):
            raise ArgumentTypeError(f"{self.task} takes texts, not {type(item).__name__}: {item!r:.60}", value=item)
        return item

    # For subclasses -------------------------------------------------------------------------------------------------

    def limit(self, options: Mapping[str, Any]) -> int:
        """Return the most tokens of a row: ``max_length``, or the context of the model and of its tokenizer."""
        context = min(int(self.model.max_positions) or self.tokenizer.model_max_length, self.tokenizer.model_max_length)
        asked = options.get("max_length")
        if asked is not None and asked > context:
            raise ArgumentError(f"max_length={asked} is more than the context of {context}", value=asked)
        return asked or context

    def encode(
        self, texts: Sequence[str], options: Mapping[str, Any], seconds: Sequence[str | None] | None = None
    ) -> list[Row]:
        """Return the ids of texts, each with a second one where ``seconds`` has one.

        Raises:
            InputTooLongError: One is too long, and ``truncation`` is off.
        """
        special = self.tokenizer.prompt_special_tokens
        limit, rows = self.limit(options), []
        for text, second in zip(texts, seconds or [None] * len(texts), strict=True):
            rows.append(self.tokenizer.encode_row(text, second, special=special))
        long = [number for number, row in enumerate(rows) if len(row.ids) > limit]
        if long and not options.get("truncation", False):
            raise InputTooLongError(
                f"a text has {len(rows[long[0]].ids)} tokens, and the limit is {limit}", value=len(rows[long[0]].ids),
                hint="truncation=True cuts it",
            )
        for number in long:
            second = None if seconds is None else seconds[number]
            rows[number] = self.tokenizer.encode_row(texts[number], second, special=special, limit=limit)
        if long:
            warnings.warn(
                f"{len(long)} of {len(rows)} texts were cut to {limit} tokens", stacklevel=callers_level()
            )
        return rows

    def forward(self, rows: Sequence[Row]) -> Any:
        """Return the model's output for rows, padded on the right to the longest; a tensor or a tuple of them."""
        return self.model(*self._arguments(*pad(rows, self.pad_id)))

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        """Return the model's output as an array."""
        output: np.ndarray = self.forward(rows).asnumpy()
        return output

    @property
    def pad_id(self) -> int:
        """The id of padding; the model's mask hides it, whatever it is."""
        return self.tokenizer.pad_token_id or 0

    def _arguments(self, ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> list[Tensor]:
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return [Tensor(arrays[name]) for name in self._parameters if name in arrays]


def pad(rows: Sequence[Row], pad_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, mask and segments of rows, ``(B, S)`` int32 each, padded on the right."""
    width = max(max(len(row.ids) for row in rows), 1)
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = row.ids
        mask[number, : len(row.ids)] = 1
        if row.types:
            types[number, : len(row.types)] = row.types
    return ids, mask, types


def softmax(x: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    shares: np.ndarray = e / e.sum(-1, keepdims=True)
    return shares


def labels_of(model: PretrainedModel, count: int) -> list[str]:
    """Return the names of a model's classes."""
    names = getattr(model.config, "labels", None)
    return list(names) if names is not None and len(names) == count else [f"LABEL_{i}" for i in range(count)]
