"""Texts as they are generated, piece by piece."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..boundary import public
from ..generation.engine import run

if TYPE_CHECKING:
    from ..generation import GenerationConfig
    from ..generation.hooks import Hooks
    from ..generation.sequences import Continuation, FinishReason
    from .text_generation import TextGenerationPipeline

_END = object()


class TextStreams:
    """Yields ``(number of the prompt, text)`` as texts are generated; an iterator, for ``for`` and ``async for``.

    Held back: characters that are not complete yet, and what may begin a stop string.

    Attributes:
        tokens: Number of tokens of each text so far.
        first_token_seconds: Time to the first token of all; it includes compiling when the shape is new.
        seconds: Time so far.
        finish_reasons: ``"eos"``, ``"length"`` or ``"stop"`` of each text that has ended, None of others.
    """

    def __init__(
        self,
        owner: TextGenerationPipeline,
        prompts: Sequence[str],
        continuations: Sequence[Continuation],
        config: GenerationConfig,
        hooks: Hooks,
        options: dict[str, Any],
        batch_size: int,
    ) -> None:
        self._owner, self._config, self._hooks, self._options = owner, config, hooks, options
        self._prompts = prompts
        self._continuations, self._batch_size = continuations, batch_size
        self.first_token_seconds = 0.0
        self.seconds = 0.0
        self._iterator = self._run()

    @property
    def tokens(self) -> list[int]:
        """Number of tokens of each text so far."""
        return [len(one.ids) - one.prompt for one in self._continuations]

    @property
    def finish_reasons(self) -> list[FinishReason | None]:
        """Why each text ended; None while it has not."""
        return [one.finished for one in self._continuations]

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self._iterator

    def __next__(self) -> tuple[int, str]:
        return next(self._iterator)

    async def __aiter__(self) -> AsyncIterator[tuple[int, str]]:
        """Yield the same; each step runs in a thread, so that other tasks are not blocked."""
        while (piece := await asyncio.to_thread(next, self._iterator, _END)) is not _END:
            yield piece  # type: ignore[misc]

    def close(self) -> None:
        """End the generation and release its resources."""
        self._iterator.close()

    def _pieces(self, number: int, text: str, ended: bool) -> Iterator[Any]:
        """Yield what is given of new text; ``text`` is empty where a text ends without more."""
        if text:
            yield text

    @public
    def _run(self) -> Generator[tuple[int, Any], None, None]:
        yield from enumerate(self._prompts)
        start = time.perf_counter()
        given = [0] * len(self._continuations)
        done = [False] * len(self._continuations)
        with self._owner._row(self._options) as entry:
            for _ in run(
                self._owner.model, self._continuations, self._config, self._hooks, batch_size=self._batch_size,
                assistant=self._options.get("assistant_model"), entry=entry,
            ):  # fmt: skip
                self.seconds = time.perf_counter() - start
                if self.first_token_seconds == 0:
                    self.first_token_seconds = self.seconds
                for number, continuation in enumerate(self._continuations):
                    follower = continuation.follower
                    if done[number] or follower is None:
                        continue
                    if continuation.finished:
                        follower.finish()
                        done[number] = True
                    ready = len(follower.text) if done[number] else follower.ready()
                    if ready > given[number] or done[number]:
                        new = follower.text[given[number] : ready]
                        given[number] = max(given[number], ready)
                        for piece in self._pieces(number, new, done[number]):
                            yield number, piece


class TextStream:
    """Yields one text as it is generated; an iterator of strings, for ``for`` and ``async for``.

    Attributes:
        tokens: Number of tokens so far.
        first_token_seconds: Time to the first token; it includes compiling when the shape is new.
        seconds: Time so far.
        finish_reason: ``"eos"``, ``"length"`` or ``"stop"`` once it has ended.
    """

    def __init__(self, streams: TextStreams) -> None:
        self._streams = streams

    @property
    def tokens(self) -> int:
        """Number of tokens so far."""
        return self._streams.tokens[0]

    @property
    def first_token_seconds(self) -> float:
        """Time to the first token."""
        return self._streams.first_token_seconds

    @property
    def seconds(self) -> float:
        """Time so far."""
        return self._streams.seconds

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended; None while it has not."""
        return self._streams.finish_reasons[0]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._streams)[1]

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the same; each step runs in a thread, so that other tasks are not blocked."""
        async for _, piece in self._streams:
            yield piece

    def close(self) -> None:
        """End the generation and release its resources."""
        self._streams.close()
