"""What the pipelines share that run a model once over each input: options, batches, generators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import ArgumentError, ArgumentTypeError, check_options
from ..pipelines import Pipeline


class BatchedPipeline(Pipeline):
    """Base of pipelines that run a model once over each input.

    A call takes one input, a list of them, or a generator, for which it returns a generator of results. Every call has
    the option ``batch_size`` (default 8): inputs that the model is given at once.

    Class attributes:
        task: The task's name, for messages.
        takes: What an input is, for messages.
        common: The options that all tasks of the kind have.
        names: The options of the task beside the common ones.
    """

    task: ClassVar[str]
    takes: ClassVar[str] = "a text"
    common: ClassVar[tuple[str, ...]] = ("batch_size",)
    names: ClassVar[tuple[str, ...]] = ()

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Return the task's result for one input, a list of them, or, one after the other, for those of a generator.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range; an input has another form.
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
        check_options(options, (*self.common, *self.names), self.task)
        for name in ("batch_size", "max_length", "top_k"):
            value = options.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ArgumentError(f"{name}={value!r} is not a whole number of at least 1", value=value)

    @abstractmethod
    def is_one(self, inputs: Any) -> bool:
        """Return whether what a call was given is one input."""

    def join(self, results: list[Any], *, one: bool) -> Any:
        """Return what a call returns, of the results of its inputs."""
        return results

    def read(self, item: Any) -> Any:
        """Return an input in the form that :meth:`run` takes; raise where it has none."""
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
