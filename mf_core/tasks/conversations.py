"""Conversations as prompts: messages in, an assistant's message out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError, shown
from ..tokenization.answers import AnswerParser, answer_parser
from ..tokenization.chat import tool_schemas

if TYPE_CHECKING:
    from ..tokenization.base import PretrainedTokenizer

#: New tokens of an answer where neither the checkpoint nor the caller sets a limit; fewer where the context ends.
ANSWER_TOKENS = 1024

#: The options of a call that only conversations have.
CONVERSATION_OPTIONS = ("tools", "documents", "chat_template", "chat_template_kwargs", "continue_final_message")


@dataclass
class Conversation:
    """A conversation that waits for an answer.

    Attributes:
        messages: The messages, as they were given.
        prompt: The text that the chat template makes of them.
        template: The chat template.
        tools: The schemas of the tools that the prompt is given.
        continued: Whether the answer continues the last message.
    """

    messages: list[Any]
    prompt: str
    template: str
    tools: list[Any]
    continued: bool

    def parser(self, tokenizer: PretrainedTokenizer) -> AnswerParser:
        """Return a parser for its answer."""
        return answer_parser(tokenizer, self.template, self.prompt, tools=self.tools, continued=self.continued)

    def answered(self, message: dict[str, Any], *, full: bool) -> list[Any]:
        """Return the messages with the answer's, or that one alone."""
        if not self.continued:
            return [*self.messages, message] if full else [message]
        last = _plain_message(self.messages[-1])
        begun = _text_of(last["content"], len(self.messages) - 1)
        whole = {**last, **message, "role": last["role"], "content": begun + message["content"]}
        return [*self.messages[:-1], whole] if full else [whole]


def is_conversation(inputs: Any) -> bool:
    """Return whether ``inputs`` are messages, or a list of lists of messages."""
    return isinstance(inputs, (list, tuple)) and bool(inputs) and (_is_message(inputs[0]) or is_batch(inputs))


def is_batch(inputs: Any) -> bool:
    """Return whether a conversation's input is a list of conversations."""
    return isinstance(inputs[0], (list, tuple))


def read_conversations(
    inputs: Sequence[Any], tokenizer: PretrainedTokenizer, options: Mapping[str, Any]
) -> list[Conversation]:
    """Render conversations by the chat template.

    Args:
        inputs: Messages, or a list of lists of messages.
        tokenizer: The model's.
        options: Those of :data:`CONVERSATION_OPTIONS` that are given.

    Raises:
        ArgumentError, ArgumentTypeError: A message or an option has a wrong type or contradicts another.
        UnsupportedError: There is no template.
        ChatTemplateError: The template refuses the conversation or fails.
    """
    tools, variables = options.get("tools"), options.get("chat_template_kwargs") or {}
    template = tokenizer.get_chat_template(options.get("chat_template"), tools)
    _check_options(template, options, variables)
    found = []
    for messages in inputs if is_batch(inputs) else [inputs]:
        read = _read_messages(messages, template)
        continued = _is_continued(read, options.get("continue_final_message"))
        prompt = tokenizer.apply_chat_template(
            read, tools, options.get("documents"), template, add_generation_prompt=not continued,
            continue_final_message=continued, tokenize=False, **variables,
        )  # fmt: skip
        if not prompt:
            raise ArgumentError("the chat template makes an empty text of the conversation", value=messages)
        found.append(Conversation(list(messages), prompt, template, tool_schemas(tools) or [], continued))
    return found


def _check_options(template: str, options: Mapping[str, Any], variables: Any) -> None:
    """Raise where an option would have no effect, or is malformed."""
    if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
        raise ArgumentTypeError(
            f"chat_template_kwargs={shown(variables)} is not a dict", value=variables,
            hint="chat_template_kwargs={'enable_thinking': False}",
        )
    continued = options.get("continue_final_message")
    if continued is not None and not isinstance(continued, bool):
        raise ArgumentTypeError(f"continue_final_message={shown(continued)} is not a bool or None", value=continued)
    for name in (*(name for name in ("tools", "documents") if options.get(name)), *variables):
        if not re.search(rf"\b{re.escape(name)}\b", template):
            given = name if name in ("tools", "documents") else f"chat_template_kwargs={{{name!r}: …}}"
            raise UnsupportedError(
                f"the chat template does not read {name!r}", value=options.get(name, variables.get(name)),
                why=f"{given} would change nothing", hint=f"leave it out, or write the {name} into a message",
            )  # fmt: skip
    for tool in options.get("tools") or () if isinstance(options.get("tools"), (list, tuple)) else ():
        if isinstance(tool, Mapping):
            function = tool.get("function", tool)
            if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
                raise ArgumentError(
                    f"a tool has no name: {shown(tool)}", value=tool,
                    hint="a function, or {'type': 'function', 'function': {'name': …, 'parameters': {…}}}",
                )  # fmt: skip


def _read_messages(messages: Any, template: str) -> list[dict[str, Any]]:
    """Return checked copies of messages, in the form that the template reads."""
    if not isinstance(messages, (list, tuple)):
        raise ArgumentTypeError(f"a conversation is a list of messages, not {shown(messages)}", value=messages)
    if not messages:
        raise ArgumentError("a conversation needs at least one message", value=messages)
    read = []
    for number, given in enumerate(messages):
        if not _is_message(given):
            raise ArgumentTypeError(
                f"message {number} is a {type(given).__name__}, not a dict", value=given,
                hint="{'role': 'user', 'content': 'Hello!'}",
            )
        message = _plain_message(given)
        content = message.get("content")
        if content is None and not message.get("tool_calls"):
            raise ArgumentError(
                f"message {number} has no content", value=given, hint="{'role': 'user', 'content': 'Hello!'}"
            )
        if not isinstance(content, (str, list, tuple, type(None))):
            raise ArgumentTypeError(
                f"the content of message {number} is of type {type(content).__name__}", value=content,
                why="it is text, or a list of parts",
            )  # fmt: skip
        if content is not None and message.get("role") == "user" and not _text_of(content, number).strip():
            raise ArgumentError(f"message {number}, of the user, is empty", value=given, hint="give it some text")
        if isinstance(content, (list, tuple)):
            text = _text_of(content, number)
            message["content"] = content if re.search(r"\[['\"]text['\"]\]|\.text\b", template) else text
        if message.get("tool_calls") is not None:
            _check_calls(message["tool_calls"], number)
        if message.get("tool_calls") and _reads_arguments_as_text(template):
            message["tool_calls"] = [_with_text_arguments(call) for call in message["tool_calls"]]
        read.append(message)
    return read


def _check_calls(calls: Any, number: int) -> None:
    """Raise unless these are calls of tools, with a name each."""
    is_list = isinstance(calls, (list, tuple))
    for call in calls if is_list else [None]:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ArgumentTypeError(
                f"message {number} has malformed tool_calls: {shown(call if is_list else calls)}", value=calls,
                hint="[{'type': 'function', 'function': {'name': …, 'arguments': {…}}}]",
            )  # fmt: skip


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) or callable(getattr(value, "model_dump", None))


def _plain_message(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else dict(value.model_dump())


def _text_of(content: Any, number: int) -> str:
    """Return the text of a message's content; of parts, the texts in separate lines."""
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text":
            raise UnsupportedError(
                f"message {number} has a part of the type {kind!r}", value=part, why="text_generation reads text alone",
                hint="{'type': 'text', 'text': …}",
            )
        if not isinstance(part.get("text"), str):
            raise ArgumentTypeError(f"a part of message {number} has no text: {shown(part)}", value=part)
        texts.append(part["text"])
    return "\n".join(texts)


def _is_continued(messages: list[dict[str, Any]], wanted: bool | None) -> bool:
    """Return whether the last message is to be continued: by default, if the assistant said it."""
    last = messages[-1]
    by_assistant = last.get("role") == "assistant"
    if by_assistant and last.get("tool_calls") and wanted is not False:
        raise ArgumentError(
            "the last message calls tools, and their results are missing", value=last,
            hint="append a message {'role': 'tool', 'content': …} for each call",
        )
    return by_assistant if wanted is None else wanted


def _reads_arguments_as_text(template: str) -> bool:
    """Return whether a template appends a call's arguments to text as they are (DeepSeek's)."""
    converted = r"arguments(['\"]\])?\s*(\||is\s|\.|%)|in\s+\S*arguments"
    return "arguments" in template and not re.search(converted, template)


def _with_text_arguments(call: Any) -> Any:
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
        return call
    function = dict(call["function"])
    if not isinstance(function.get("arguments", ""), str):
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": function}
