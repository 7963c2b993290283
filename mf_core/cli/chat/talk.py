"""A conversation with a model: its turns, and saving and loading them. No terminal, no model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import ArgumentError, DataError, FileMissingError
from ...utils.files import write_json
from ...utils.paths import user_path


@dataclass
class Turn:
    """What the user said, and the messages that answer it; none while there is no answer."""

    user: str
    answer: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What was said and answered, as one text."""
        return self.user + "".join(str(message.get("content") or "") for message in self.answer)


class Talk:
    """A conversation.

    Attributes:
        system: The system message; None: nothing.
        turns: All turns.
        first: Number of the first turn that the model is given; those before did not fit its context.
    """

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        self.turns: list[Turn] = []
        self.first = 0

    def messages(self, first: int | None = None) -> list[dict[str, Any]]:
        """Return the messages from a turn on (default: those that the model is given), after the system's."""
        result: list[dict[str, Any]] = [] if self.system is None else [{"role": "system", "content": self.system}]
        for turn in self.turns[self.first if first is None else first :]:
            result += [{"role": "user", "content": turn.user}, *turn.answer]
        return result

    def text(self) -> str:
        """Return the turns that the model is given as one text, for a model that continues texts."""
        return "".join(turn.text for turn in self.turns[self.first :])

    def reset(self) -> None:
        """Forget all turns."""
        self.turns.clear()
        self.first = 0

    def undo(self) -> Turn | None:
        """Remove the last turn and return it; None where there is none."""
        if not self.turns:
            return None
        turn = self.turns.pop()
        self.first = min(self.first, max(0, len(self.turns) - 1))
        return turn

    def save(self, name: str, model: str) -> Path:
        """Write the conversation to a JSON file; return its path.

        Raises:
            ArgumentError: A file is there that is no conversation.
        """
        path = user_path(name)
        if path.exists() and not _is_saved(path):
            raise ArgumentError(f"{name} exists and is no conversation", value=name, hint="give another name")
        write_json(path, {"model": model, "messages": self.messages(0)})
        return path

    def load(self, name: str) -> None:
        """Replace the conversation by that of a file.

        Raises:
            FileMissingError, DataError: There is no file, or it holds something else.
        """
        path = user_path(name)
        if not path.is_file():
            raise FileMissingError(f"there is no file {name}", value=name)
        try:
            saved = SavedTalk.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} is no saved conversation", value=name, why=_reason(error)) from error
        messages = [message.model_dump(exclude_none=True) for message in saved.messages]
        system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else None
        turns: list[Turn] = []
        for message in messages:
            if message["role"] == "user":
                turns.append(Turn(message["content"]))
            elif not turns or message["role"] == "system":
                raise DataError(f"{name} is no saved conversation", value=name, why="its first message is no user's")
            else:
                turns[-1].answer.append(message)
        self.system, self.turns, self.first = system, turns, 0


class SavedMessage(BaseModel):
    """A message in a file."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""


class SavedTalk(BaseModel):
    """A conversation in a file."""

    model: str | None = None
    messages: list[SavedMessage]


def _is_saved(path: Path) -> bool:
    try:
        SavedTalk.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    return str(error)
