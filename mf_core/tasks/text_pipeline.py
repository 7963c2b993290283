"""What the pipelines share that run a model once over each text: inputs, options, batches.

Shapes: B texts, S tokens.
"""

from __future__ import annotations

import inspect
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor

from ..errors import ArgumentError, ArgumentTypeError, InputTooLongError, check_options
from ..models.base import PretrainedModel
from ..pipelines import Pipeline
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.rows import Row
from ..utils.callers import callers_level

_COMMON = ("batch_size", "truncation", "max_length")


class TextPipeline(Pipeline):
    """Base of pipelines that run a model once over each text.

    A call takes one input, a list of them, or a generator, for which it returns a generator of results. Further options
    of every call:

    * ``batch_size`` (default 8): texts that the model is given at once.
    * ``truncation`` (default False): cut texts that are longer than the context, with a warning that counts them;
      without it, one is an error.
    * ``max_length`` (default: the context): most tokens of a text.

    Args:
        model: A model with the task's head.
        tokenizer: Its tokenizer.
        **options: Defaults of the calls.

    Class attributes:
        task: The task's name, for messages.
        takes: What an input is, for messages.
        names: The options of the task beside the common ones.
    """

    task: ClassVar[str]
    takes: ClassVar[str] = "a text"
    names: ClassVar[tuple[str, ...]] = ()
    tokenizer: PretrainedTokenizer

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer, **options: Any) -> None:
        self.check(options)
        super().__init__(model, tokenizer, **options)
        self._parameters = list(inspect.signature(model.construct).parameters)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Return the task's result for one input, a list of them, or, one after the other, for those of a generator.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range; an input has another form.
            InputTooLongError: A text is longer than the context, and ``truncation`` is off.
        """
        self.check(options)
        merged = {**self.options, **options}
        if isinstance(inputs, Iterator):
            return self._stream(inputs, merged)
        if self.is_one(inputs):
            return self.join(self._run([inputs], merged), one=True)
        if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, Sequence):
            raise ArgumentTypeError(
                f"{self.task} takes {self.takes}, or a list of them, not {type(inputs).__name__}", value=inputs
            )
        if not inputs:
            raise ArgumentError(f"{self.task} was given an empty list", value=inputs)
        return self.join(self._run(inputs, merged), one=False)

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ArgumentError for an option that is unknown or out of range."""
        check_options(options, (*_COMMON, *self.names), self.task)
        for name in ("batch_size", "max_length", "top_k"):
            value = options.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ArgumentError(f"{name}={value!r} is not a whole number of at least 1", value=value)
        if options.get("truncation", False) not in (True, False):
            raise ArgumentError(f"truncation={options['truncation']!r} is neither True nor False")

    def is_one(self, inputs: Any) -> bool:
        """Return whether what a call was given is one input."""
        return isinstance(inputs, str)

    def join(self, results: list[Any], *, one: bool) -> Any:
        """Return what a call returns, of the results of its inputs."""
        return results

    def read(self, item: Any) -> Any:
        """Return an input in the form that :meth:`run` takes; raise where it has none."""
        if not isinstance(item, str):
            raise ArgumentTypeError(f"{self.task} takes texts, not {type(item).__name__}: {item!r:.60}", value=item)
        return item

    @abstractmethod
    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """Return the results of some inputs, as :meth:`read` returns them."""

    def _run(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Any]:
        items = [self.read(item) for item in inputs]
        size = options.get("batch_size") or 8
        return [result for at in range(0, len(items), size) for result in self.run(items[at : at + size], options)]

    def _stream(self, inputs: Iterator[Any], options: Mapping[str, Any]) -> Iterator[Any]:
        size, waiting = options.get("batch_size") or 1, []
        for item in inputs:
            waiting.append(item)
            if len(waiting) == size:
                yield from self._run(waiting, options)
                waiting = []
        if waiting:
            yield from self._run(waiting, options)

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
