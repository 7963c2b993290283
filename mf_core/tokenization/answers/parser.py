"""Parsers that read an answer as its text comes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .calls import calls_of_json, json_of
from .message import Call, Delta, MessageBuilder

Where = Literal["start", "content", "thinking"]


@dataclass(frozen=True)
class CallSyntax:
    """How a family writes tool calls.

    Attributes:
        open: Begins a call, or several.
        close: Ends it; None: the answer's end does.
        read: From the text between to calls; None where it is none.
        inside: Whether a text breaks off within a value, so that the closing tag after it belongs to the value.
    """

    open: str
    close: str | None
    read: Callable[[str], list[Call] | None]
    inside: Callable[[str], bool] | None = None


class AnswerParser(ABC):
    """Turns an answer's text, with the special tokens in :attr:`marks`, into a message.

    Markup that is malformed or unfinished becomes content, so that no text is lost.

    Attributes:
        marks: Special tokens that must be in the text.
    """

    marks: tuple[str, ...] = ()

    def __init__(self, salt: str) -> None:
        self._builder = MessageBuilder(salt)
        self._buffer = ""

    @property
    def message(self) -> dict[str, Any]:
        """The message so far."""
        return self._builder.message

    def push(self, text: str) -> list[Delta]:
        """Add text; return what it adds to the message."""
        self._buffer += text
        while self._advance():
            pass
        return self._builder.taken()

    def finish(self) -> list[Delta]:
        """End the answer; return what is left of it."""
        self._finish()
        return self._builder.taken()

    @abstractmethod
    def _advance(self) -> bool:
        """Read from the buffer; return whether there may be more to read."""

    @abstractmethod
    def _finish(self) -> None:
        """Read the rest of the buffer."""

    def _text_until(self, key: str, marks: Sequence[str]) -> str | None:
        """Move the text before the first mark from the buffer into the message; return the mark, also removed.

        Without one, what may be its beginning stays in the buffer.
        """
        first = re.search("|".join(map(re.escape, marks)), self._buffer) if marks else None
        if first is not None:
            self._builder.text(key, self._buffer[: first.start()])
            self._buffer = self._buffer[first.end() :]
            return first[0]
        kept = beginning_of(self._buffer, marks)
        self._builder.text(key, self._buffer[: len(self._buffer) - kept])
        self._buffer = self._buffer[len(self._buffer) - kept :]
        return None


class TagParser(AnswerParser):
    """Reads answers whose parts are between tags.

    Args:
        thinking: Pairs of tags around what is thought, before what is said.
        calls: Tags around tool calls.
        json_calls: Whether an answer that is a JSON object with a name and parameters calls a tool (Llama 3).
        where: In which part the answer begins.
        salt: See :class:`MessageBuilder`.
    """

    def __init__(
        self,
        thinking: Sequence[tuple[str, str]],
        calls: Sequence[CallSyntax],
        json_calls: bool,
        where: Where,
        salt: str,
    ) -> None:
        super().__init__(salt)
        self.marks = (*(tag for pair in thinking for tag in pair), *(
            tag for syntax in calls for tag in (syntax.open, syntax.close) if tag is not None
        ))  # fmt: skip
        self._thinking, self._calls, self._json_calls = thinking, {call.open: call for call in calls}, json_calls
        self._where: Where | CallSyntax = where
        self._closing = tuple(close for _, close in thinking)
        self._searched = 0
        if where == "thinking":
            self._builder.markup()

    def _advance(self) -> bool:
        if self._where == "start":
            return self._start()
        if self._where == "thinking":
            if self._text_until("reasoning_content", self._closing) is None:
                return False
            self._builder.markup()
            self._where = "start" if self._json_calls else "content"
            return True
        if self._where == "content":
            mark = self._text_until("content", tuple(self._calls))
            if mark is None:
                return False
            self._where, self._searched = self._calls[mark], 0
            return True
        return self._call(self._where)

    def _start(self) -> bool:
        """Decide in which part the answer begins; white space before that is nothing yet."""
        begun = self._buffer.lstrip()
        opening = [opened for opened, _ in self._thinking] if not self.message.get("reasoning_content") else []
        if not begun or any(tag.startswith(begun) and tag != begun for tag in opening):
            return False
        tag = next((tag for tag in opening if begun.startswith(tag)), None)
        if tag is not None:
            self._buffer, self._where = begun[len(tag) :], "thinking"
            self._builder.markup()
        elif self._json_calls and may_be_call(begun):
            self._where = _JSON_ANSWER
        else:
            self._where = "content"
        return True

    def _call(self, syntax: CallSyntax) -> bool:
        if syntax is _JSON_ANSWER and not may_be_call(self._buffer.lstrip()):
            self._where = "content"
            return True
        end = -1 if syntax.close is None else self._buffer.find(syntax.close, self._searched)
        if end < 0:
            self._searched = max(self._searched, len(self._buffer) - len(syntax.close or ""))
            return False
        assert syntax.close is not None
        if syntax.inside is not None and syntax.inside(self._buffer[:end]):
            self._searched = end + len(syntax.close)
        else:
            self._end_call(syntax, end)
        return True

    def _end_call(self, syntax: CallSyntax, end: int) -> None:
        assert syntax.close is not None
        self._put_call(syntax, self._buffer[:end], syntax.close)
        self._buffer, self._where = self._buffer[end + len(syntax.close) :], "content"

    def _finish(self) -> None:
        while isinstance(self._where, CallSyntax):
            end = -1 if self._where.close is None else self._buffer.find(self._where.close)
            if end < 0:
                break
            self._end_call(self._where, end)  # of a value that has no end
            while self._advance():
                pass
        if isinstance(self._where, CallSyntax):
            self._put_call(self._where, self._buffer, "")
        else:
            self._builder.text("reasoning_content" if self._where == "thinking" else "content", self._buffer)
        self._buffer = ""
        self._builder.end("reasoning_content" if self._where == "thinking" else "content")

    def _put_call(self, syntax: CallSyntax, body: str, close: str) -> None:
        calls = syntax.read(body)
        if calls:
            self._builder.markup()
            self._builder.call(calls)
        else:
            self._builder.text("content", syntax.open + body + close)


class HarmonyParser(AnswerParser):
    """Reads gpt-oss's answers: messages in channels (OpenAI's harmony format).

    Args:
        where: In which part the answer begins.
        salt: See :class:`MessageBuilder`.
    """

    marks = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>")
    _ends = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>")
    _header = re.compile(r"\s*(<\|start\|>)?\s*(assistant)?\s*(to=\S+)?\s*<\|channel\|>")

    def __init__(self, where: Where, salt: str) -> None:
        super().__init__(salt)
        self._key = {"start": "", "content": "content", "thinking": "reasoning_content"}[where]
        self._recipient: str | None = None
        self._header_text = ""

    def _advance(self) -> bool:
        if self._recipient is not None:
            return self._read_call()
        if not self._key:
            return self._read_header()
        if (mark := self._text_until(self._key, self._ends)) is None:
            return False
        self._end_part(mark)
        return True

    def _read_header(self) -> bool:
        """Read ``<|channel|>analysis``, with a recipient perhaps, up to ``<|message|>``."""
        header, mark, rest = self._buffer.partition("<|message|>")
        if not mark:
            if not self.message["content"] and not _may_be_header(self._buffer):
                self._key = "content"  # no harmony at all
                return bool(self._buffer)
            return False
        self._buffer, self._header_text = rest, header + mark
        self._builder.markup()
        recipient = re.search(r"\bto=(?:functions\.)?([\w.-]+)", header)
        if recipient is not None:
            self._recipient = recipient[1]
        else:
            self._key = "reasoning_content" if re.search(r"<\|channel\|>\s*analysis", header) else "content"
        return True

    def _read_call(self) -> bool:
        first = re.search("|".join(map(re.escape, self._ends)), self._buffer)
        if first is None:
            return False
        self._put_call(self._buffer[: first.start()], first[0])
        self._buffer = self._buffer[first.end() :]
        self._end_part(first[0])
        return True

    def _put_call(self, body: str, end: str) -> None:
        arguments = json_of(body or "{}")
        assert self._recipient is not None
        if isinstance(arguments, dict):
            self._builder.call([(self._recipient, arguments)])
        else:
            self._builder.text("content", self._header_text + body + end)
        self._recipient = None

    def _end_part(self, mark: str) -> None:
        self._key = ""
        self._builder.markup()
        if mark in ("<|start|>", "<|channel|>"):  # of the next header
            self._buffer = mark + self._buffer

    def _finish(self) -> None:
        if self._recipient is not None:
            self._put_call(self._buffer, "")
        elif self._key or not self._buffer.strip() or not _may_be_header(self._buffer):
            self._builder.text(self._key or "content", self._buffer)
        self._buffer = ""
        self._builder.end(self._key or "content")


def beginning_of(text: str, marks: Sequence[str]) -> int:
    """Return the length of the longest end of ``text`` that one of the marks begins with."""
    longest = min(len(text), max(map(len, marks), default=1) - 1)
    ends = (text[len(text) - size :] for size in range(longest, 0, -1))
    return next((len(end) for end in ends if any(mark.startswith(end) for mark in marks)), 0)


def may_be_call(text: str) -> bool:
    """Return whether an answer that begins so may be a JSON object that calls a tool."""
    begun = re.sub(r"\s+", "", text[:64])
    heads = ('{"name":', '{"type":"function"', '{"function":', '{"parameters":', '[{"name":')
    return any(head.startswith(begun) or begun.startswith(head) for head in heads)


def _may_be_header(text: str) -> bool:
    """Return whether a message of the harmony format may begin so."""
    begun = text.strip()
    if HarmonyParser._header.match(text) or not begun:
        return True
    heads = ("<|channel|>", "<|start|>assistant<|channel|>", "<|start|>assistant to=", "to=", "<|message|>")
    return any(head.startswith(begun) for head in heads) or begun.startswith(("to=", "<|start|>assistant to="))


_JSON_ANSWER = CallSyntax("", None, calls_of_json)
