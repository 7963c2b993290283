"""Conversations, rendered by a checkpoint's chat template and made into ids."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..boundary import public
from ..errors import ArgumentError, ArgumentTypeError, ConfigError, UnsupportedError, did_you_mean, shown
from .files import SPECIAL_TOKENS

if TYPE_CHECKING:
    from .rows import Span

#: Where a message's thinking is; templates read the first, except those that read the second.
_REASONING = ("reasoning_content", "thinking", "reasoning")
#: Put where the last message is to be continued; what follows it is cut off.
_MARK = "CONTINUE_HERE_6f2c1b9a "
_DEEPEST = 100


class ChatTemplates:
    """The part of a tokenizer that reads conversations.

    Attributes:
        chat_template: A template of Jinja2, or several by name, of which ``"default"`` is used, and ``"tool_use"``
            where there are tools; None: the checkpoint has none.
    """

    chat_template: str | dict[str, str] | None

    @public
    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: bool | Literal["max_length", "longest"] = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Literal["np", "ms"] | None = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        **variables: Any,
    ) -> Any:
        """Return a conversation as the model was trained to read it.

        The template runs in Jinja2's immutable sandbox, in a separate process, and may take 0.3 seconds and 48 MB.

        Args:
            conversation: Messages: dicts with ``role``, ``content`` and what else the template reads (``tool_calls``,
                ``reasoning_content``); or a list of conversations. Entries that are None are left out.
            tools: What the model may call: functions with types and a docstring, or JSON schemas.
            documents: What it may quote; for templates that know them.
            chat_template: Another template, or the name of one of :attr:`chat_template`'s.
            add_generation_prompt: End with what begins an answer of the assistant.
            continue_final_message: Leave the last message open, for the model to continue; a string names the entry of
                the message that is continued.
            tokenize: False returns the text.
            padding, truncation, max_length, return_tensors: As in a call of the tokenizer.
            return_dict: False returns ``input_ids`` alone.
            return_assistant_tokens_mask: Add ``assistant_masks``: 1 for tokens of what the template marks by
                ``{% generation %}``.
            **variables: Further variables of the template (``enable_thinking=False``).

        Returns:
            What a call of the tokenizer returns, without special tokens but those of the template; or the text.

        Raises:
            UnsupportedError: There is no template.
            ChatTemplateError: The template refuses the conversation, fails, or exceeds its limits.
            ArgumentError, ArgumentTypeError: Options contradict each other; a message or tool has a wrong type.
        """
        from .chat_render import render

        template = self.get_chat_template(chat_template, tools)
        batched, conversations = _conversations(conversation)
        if continue_final_message and (add_generation_prompt or return_assistant_tokens_mask):
            other = "add_generation_prompt" if add_generation_prompt else "return_assistant_tokens_mask"
            raise ArgumentError(
                f"continue_final_message and {other} contradict each other", value=continue_final_message,
                hint="the first continues the last message, the second begins another"
                if add_generation_prompt else "mask conversations that are complete",
            )  # fmt: skip
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise ArgumentError("return_assistant_tokens_mask needs tokenize=True and return_dict=True", value=True)
        if return_assistant_tokens_mask and not re.search(r"\{%-?\s*generation\s*-?%\}", template):
            raise ArgumentError(
                "return_assistant_tokens_mask needs a template that marks what the assistant says", value=template,
                hint="put {% generation %} and {% endgeneration %} around it, and pass it as chat_template",
            )
        shared = {
            **{name: token for name in SPECIAL_TOKENS if (token := getattr(self, name)) is not None},
            **_plain(variables), "tools": tool_schemas(tools), "documents": _documents(documents),
            "add_generation_prompt": add_generation_prompt,
        }  # fmt: skip
        texts, spans = [], []
        for messages in conversations:
            field = _mark_end(messages, continue_final_message, template) if continue_final_message else None
            rendered = render(template, {**shared, "messages": messages})
            texts.append(rendered.text if field is None else _cut_at_mark(rendered.text, field))
            spans.append(rendered.spans)
        if not tokenize:
            return texts if batched else texts[0]
        tokenizer: Any = self
        result: dict[str, Any] = tokenizer(
            texts if batched or return_assistant_tokens_mask else texts[0], add_special_tokens=False, padding=padding,
            truncation=truncation, max_length=max_length, return_tensors=return_tensors,
            return_offsets_mapping=return_assistant_tokens_mask,
        )  # fmt: skip
        if return_assistant_tokens_mask:
            result = self._with_masks(result, spans, return_tensors, unpack=not batched and return_tensors is None)
        return result if return_dict else result["input_ids"]

    def _with_masks(
        self, result: dict[str, Any], spans: list[list[Span]], kind: Literal["np", "ms"] | None, *, unpack: bool
    ) -> dict[str, Any]:
        """Return ``result`` with ``assistant_masks`` instead of ``offset_mapping``."""
        from .rows import as_tensor

        offsets = result.pop("offset_mapping")
        rows = [row.tolist() for row in (offsets.asnumpy() if kind == "ms" else offsets)] if kind else offsets
        masks = [
            [int(any(start < after and before < end for before, after in marked)) for start, end in row]
            for row, marked in zip(rows, spans, strict=True)
        ]
        if kind is not None:
            return {**result, "assistant_masks": as_tensor(masks, kind)}
        result["assistant_masks"] = masks
        return {name: column[0] for name, column in result.items()} if unpack else result

    @public
    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """Return the template that :meth:`apply_chat_template` uses for the same arguments.

        Raises:
            UnsupportedError: There is none.
            ArgumentError: Several have names, and none of these is meant.
        """
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return own.get(chat_template, chat_template) if chat_template in own else _template(chat_template, own)
            name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name not in own:
                raise ArgumentError(
                    "the checkpoint has several chat templates, and none is the default", value=sorted(own),
                    hint=f"pass chat_template=…, one of: {', '.join(sorted(own))}",
                )
            return own[name]
        if chat_template is not None:
            return _template(chat_template, {})
        if own is None:
            raise UnsupportedError(
                f"{self!r:.60} has no chat template", value=None,
                why="the checkpoint has none: its model continues texts, and was not trained for conversations",
                hint="pass chat_template=…, or use a checkpoint that was tuned for chat",
            )
        return own


def check_templates(value: Any) -> str | dict[str, str] | None:
    """Return a chat template, or several by name; raise ConfigError for what is neither."""
    if value is None or isinstance(value, str):
        return value
    named = isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair)
    if not named or not all(re.fullmatch(r"\w[\w.-]*", name) for name in value):
        raise ConfigError(f"chat_template={shown(value)} is neither a template nor templates by name", value=value)
    return dict(value)


def _template(given: Any, named: Mapping[str, str]) -> str:
    if not isinstance(given, str):
        raise ArgumentTypeError(f"chat_template is a string, not {type(given).__name__}", value=given)
    if "{" not in given and re.fullmatch(r"\w[\w.-]*", given):
        raise ArgumentError(
            f"there is no chat template {given!r}", value=given,
            hint=did_you_mean(given, named) or f"there are: {', '.join(sorted(named)) or 'none with names'}",
        )
    return given


def _conversations(given: Any) -> tuple[bool, list[list[dict[str, Any]]]]:
    """Return whether there are several conversations, and each as plain messages without what is None."""
    if not isinstance(given, (list, tuple)):
        raise ArgumentTypeError(
            f"a conversation is a list of messages, not {type(given).__name__}", value=given,
            hint="[{'role': 'user', 'content': 'Hello!'}]",
        )
    batched = bool(given) and isinstance(given[0], (list, tuple))
    conversations = []
    for number, messages in enumerate(given if batched else [given]):
        if not isinstance(messages, (list, tuple)):
            raise ArgumentTypeError(f"conversation {number} is no list: {shown(messages)}", value=messages)
        if not messages:
            raise ArgumentError("a conversation needs at least one message", value=given)
        conversations.append([_message(message, number) for number, message in enumerate(messages)])
    return batched, conversations


def _message(given: Any, number: int) -> dict[str, Any]:
    message = _plain(given)
    if not isinstance(message, dict):
        raise ArgumentTypeError(
            f"message {number} is a {type(given).__name__}, not a dict", value=given,
            hint="{'role': 'user', 'content': 'Hello!'}",
        )
    message = {name: value for name, value in message.items() if value is not None}
    if not isinstance(message.get("role"), str):
        raise ArgumentError(f"message {number} has no role: {shown(message)}", value=given, hint="'role': 'user'")
    if not isinstance(message.get("content", ""), (str, list, tuple, dict)):
        raise ArgumentTypeError(
            f"the content of message {number} is of type {type(message['content']).__name__}", value=message["content"],
            why="it is text, or a list of parts",
        )
    thought = next((message[name] for name in _REASONING if name in message), None)
    return message if thought is None else {"thinking": thought, **message, "reasoning_content": thought}


def tool_schemas(given: Any) -> list[Any] | None:
    """Return the JSON schemas of tools, which are functions or schemas; raise ArgumentTypeError for anything else."""
    from .tool_schema import function_schema

    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        raise ArgumentTypeError(f"tools are a list, not {type(given).__name__}", value=given)
    tools = []
    for tool in given:
        if inspect.isfunction(tool) or inspect.ismethod(tool):
            tools.append(function_schema(tool))
        elif isinstance(tool, Mapping):
            tools.append(_plain(tool))
        else:
            raise ArgumentTypeError(f"a tool is a function or a JSON schema, not {type(tool).__name__}", value=tool)
    return tools


def _documents(given: Any) -> list[Any] | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)) or not all(isinstance(document, Mapping) for document in given):
        raise ArgumentTypeError(f"documents are a list of dicts, not {shown(given)}", value=given)
    return [_plain(document) for document in given]


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value made of JSON's types (and tuples): a template must not get at methods of anything else."""
    if depth > _DEEPEST:
        raise ArgumentError(f"values in a conversation are nested deeper than {_DEEPEST}", value=None)
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    if isinstance(value, Mapping):
        return {_plain(name, depth + 1): _plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):  # pydantic's
        return _plain(value.model_dump(), depth + 1)
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():  # a number of numpy's
        return _plain(value.item(), depth + 1)
    return f"<{type(value).__name__}>"  # templates ask whether an image is there, and no more


def _mark_end(messages: list[dict[str, Any]], which: bool | str, template: str) -> str:
    """Put the mark at the end of what the last message is to be continued at; return that text."""
    last, field = messages[-1], which if isinstance(which, str) else "content"
    if field not in last:
        raise ArgumentError(f"the last message has no {field!r} to be continued", value=last)
    fields = [name for name in _REASONING if last.get(name) == last[field]] if field in _REASONING else [field]
    if not any(name in template for name in fields):
        raise ArgumentError(f"the chat template does not read {field!r}, which is to be continued", value=field)
    text = last[field]
    if isinstance(text, (list, tuple)):
        parts = [dict(part) if isinstance(part, Mapping) else part for part in text]
        part = next((part for part in reversed(parts) if isinstance(part, dict) and "text" in part), None)
        if part is None:
            raise ArgumentError("the last message has no text to be continued", value=text)
        text, part["text"] = part["text"], part["text"] + _MARK
        last[field] = parts
        return str(text)
    for name in fields:
        last[name] = last[name] + _MARK
    return str(text)


def _cut_at_mark(text: str, continued: str) -> str:
    mark = text.rfind(_MARK.strip())
    if mark < 0 or continued.strip() not in text:
        raise ArgumentError(
            "the last message cannot be continued", value=continued,
            why="the chat template leaves it out, or changes it",
        )
    return text[:mark] if text.startswith(_MARK, mark) else text[:mark].rstrip()
