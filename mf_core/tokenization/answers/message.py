"""The message that an answer becomes, built by appending."""

from __future__ import annotations

import hashlib
import json
from typing import Any

#: What is new in a message: texts to be appended under their keys, and further entries of ``tool_calls``.
Delta = dict[str, Any]
#: A tool's name and its arguments.
Call = tuple[str, dict[str, Any]]

#: Between texts of a message that markup stood between.
_SEPARATOR = "\n\n"


class MessageBuilder:
    """Collects an assistant's message; what it is given adds up to it.

    White space next to markup is left out; all other text is kept as it is.

    Args:
        salt: Makes the ids of tool calls differ between conversations.

    Attributes:
        message: The message so far: ``role``, ``content`` and, where there are any, ``reasoning_content`` and
            ``tool_calls``.
    """

    def __init__(self, salt: str) -> None:
        self.message: dict[str, Any] = {"role": "assistant", "content": ""}
        self._salt = salt
        self._new: list[Delta] = []
        self._white = ""  # at the end of the text, to be written if more text or the answer's end follows
        self._after_markup = False

    def text(self, key: str, text: str) -> None:
        """Append text under ``"content"`` or ``"reasoning_content"``."""
        if self._after_markup:
            text = text.lstrip()
        if not text:
            return
        text = self._white + text
        body = text.rstrip()
        self._white = text[len(body) :]
        if not body:
            return
        if self._after_markup and self.message.get(key):
            body = _SEPARATOR + body
        self._after_markup = False
        self._append(key, body)

    def markup(self) -> None:
        """Note that markup stands here."""
        self._white, self._after_markup = "", True

    def call(self, calls: list[Call]) -> None:
        """Append tool calls."""
        for name, arguments in calls:
            made = self.message.setdefault("tool_calls", [])
            what = json.dumps([self._salt, len(made), name, arguments], sort_keys=True)
            entry = {
                "id": hashlib.sha256(what.encode()).hexdigest()[:9],  # nine characters: Mistral's templates insist
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            made.append(entry)
            self._new.append({"tool_calls": [entry]})

    def end(self, key: str) -> None:
        """Append the white space that the text under ``key`` ends with."""
        if self._white and not self._after_markup:
            self._append(key, self._white)
        self._white = ""

    def taken(self) -> list[Delta]:
        """Return what is new since the last call."""
        new, self._new = self._new, []
        return new

    def _append(self, key: str, text: str) -> None:
        self.message[key] = self.message.get(key, "") + text
        if self._new and list(self._new[-1]) == [key]:
            self._new[-1][key] += text
        else:
            self._new.append({key: text})
