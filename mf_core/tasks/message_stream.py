"""Answers of conversations as they are generated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..generation.call import follow
from ..tokenization.answers import Delta
from .text_stream import TextStream, TextStreams

if TYPE_CHECKING:
    from ..generation import GenerationConfig
    from ..generation.hooks import Hooks
    from ..generation.sequences import Continuation
    from .conversations import Conversation
    from .text_generation import TextGenerationPipeline


class MessageStreams(TextStreams):
    """Yields ``(number of the conversation, what is new in its answer)``; see :class:`MessageStream`.

    Attributes:
        messages: The answers so far, as messages.
    """

    def __init__(
        self,
        owner: TextGenerationPipeline,
        conversations: Sequence[Conversation],
        continuations: Sequence[Continuation],
        config: GenerationConfig,
        hooks: Hooks,
        options: dict[str, Any],
        batch_size: int,
    ) -> None:
        self._conversations = conversations
        self._parsers = [conversation.parser(owner.tokenizer) for conversation in conversations]
        for continuation, parser in zip(continuations, self._parsers, strict=True):
            follow([continuation], config, owner.tokenizer, parser.marks)
        super().__init__(owner, [], continuations, config, hooks, options, batch_size)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The answers so far, as messages; where an answer continues a message, the whole of it."""
        pairs = zip(self._conversations, self._parsers, strict=True)
        return [conversation.answered(parser.message, full=False)[0] for conversation, parser in pairs]

    def _pieces(self, number: int, text: str, ended: bool) -> Iterator[Any]:
        parser = self._parsers[number]
        yield from parser.push(text)
        if ended:
            yield from parser.finish()


class MessageStream(TextStream):
    """Yields what is new in an answer as it is generated; an iterator of dicts, for ``for`` and ``async for``.

    A dict has one entry: text to be appended to the message's ``content`` or ``reasoning_content``, or further entries
    of its ``tool_calls``, which come when they are complete. Together they are the message.

    Attributes:
        message: The message so far.
        tokens: Number of tokens so far.
        first_token_seconds: Time to the first token; it includes compiling when the shape is new.
        seconds: Time so far.
        finish_reason: ``"eos"``, ``"length"`` or ``"stop"`` once it has ended.
    """

    _streams: MessageStreams

    def __init__(self, streams: MessageStreams) -> None:
        super().__init__(streams)

    @property
    def message(self) -> dict[str, Any]:
        """The message so far."""
        return self._streams.messages[0]

    def __iter__(self) -> Iterator[Delta]:  # type: ignore[override]
        return self

    def __next__(self) -> Delta:  # type: ignore[override]
        return next(self._streams)[1]  # type: ignore[return-value]

    async def __aiter__(self) -> AsyncIterator[Delta]:  # type: ignore[override]
        """Yield the same; each step runs in a thread, so that other tasks are not blocked."""
        async for _, delta in self._streams:
            yield delta  # type: ignore[misc]
