"""Commands of ``mf chat``: lines that begin with a slash."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError, UnsupportedError, did_you_mean
from ...generation.config import GenerationConfig
from ...generation.options import extra
from ...plugins.registry import registry

if TYPE_CHECKING:
    from .session import Session

_KEYS = '''Enter sends; Alt-Enter begins a line, and so does Enter between """ and """. Up and Down recall what was
typed. Tab completes commands. Ctrl-C stops an answer; Ctrl-D leaves.'''


def run_command(session: Session, line: str) -> None:
    """Run a line that begins with a slash.

    Raises:
        MFError: There is no such command, or it failed.
        EOFError: The session is to end.
    """
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        close = did_you_mean(f"/{name}", [f"/{known}" for known in COMMANDS])
        raise ArgumentError(
            f"there is no command /{name}", value=line, hint=close or "/help lists them; // begins a message with a /"
        )
    command(session, rest.strip())


def completions(session: Session, text: str) -> Iterator[str]:
    """Yield the completions of the last word of a command."""
    words = text.split(" ")
    if len(words) == 1:
        yield from (f"/{name}" for name in COMMANDS if f"/{name}".startswith(text))
    elif len(words) == 2 and words[0] == "/set":
        yield from (name for name in _options() if name.startswith(words[1]))
    elif len(words) == 2 and words[0] == "/model":
        presets = sorted(name for name in registry.names("preset") if not name.endswith("*"))
        yield from (name for name in presets if name.startswith(words[1]))
    elif words[0] in ("/save", "/load", "/model"):
        yield from sorted(glob.glob(glob.escape(words[-1]) + "*"))


def _help(session: Session, rest: str) -> None:
    """List the commands."""
    width = max(len(usage) for usage in _USAGES)
    lines = [
        f"{usage.ljust(width)}  {command.__doc__}" for usage, command in zip(_USAGES, COMMANDS.values(), strict=True)
    ]
    session.display.note("\n".join([*lines, _KEYS]))


def _system(session: Session, rest: str) -> None:
    """Tell the model something before all else; - takes it back, nothing shows it."""
    if not session.answering.has_template:
        raise UnsupportedError(
            "this model has no system message", value=rest, why="it has no chat template: it continues texts"
        )
    if rest:
        session.talk.system = None if rest == "-" else rest
    session.display.note(f"system: {session.talk.system or 'nothing'}")


def _reset(session: Session, rest: str) -> None:
    """Forget the conversation; what the system says stays."""
    session.talk.reset()
    session.display.note("the conversation begins again")


def _undo(session: Session, rest: str) -> None:
    """Take back the last question and its answer."""
    turn = session.talk.undo()
    session.display.note("there is nothing to undo" if turn is None else f"taken back: {turn.user[:60]}")


def _regenerate(session: Session, rest: str) -> None:
    """Answer the last question again."""
    if not session.talk.turns:
        raise ArgumentError("there is no question yet", value=rest)
    session.regenerate()


def _save(session: Session, rest: str) -> None:
    """Write the conversation to a file (JSON)."""
    path = session.talk.save(_argument(rest, "/save talk.json"), session.model)
    session.display.note(f"saved to {path}")


def _load(session: Session, rest: str) -> None:
    """Continue a conversation from a file."""
    session.talk.load(_argument(rest, "/load talk.json"))
    session.display.note(f"loaded {len(session.talk.turns)} turns")


def _set(session: Session, rest: str) -> None:
    """Set an option of generation; none takes it back, no name shows all that are set."""
    answering = session.answering
    if not rest:
        given = {**answering.settings, **answering.variables}
        lines = [f"{name} {json.dumps(value)}" for name, value in given.items()]
        session.display.note("\n".join(lines) or "nothing is set")
        return
    name, _, text = rest.partition(" ")
    name = name.replace("-", "_")
    if not text.strip():
        if name in GenerationConfig.model_fields:
            session.display.note(f"{name} {getattr(answering.config, name)}")
            return
        raise ArgumentError(f"/set {name} has no value", value=rest, hint="/set temperature 0.7")
    answering.set(name, _value(text.strip()))
    session.display.note(f"{name} {text.strip()}")


def _model(session: Session, rest: str) -> None:
    """Switch to another model; without a name, show the current one."""
    if rest:
        session.change_model(rest)
    session.display.note(session.description())


def _tokens(session: Session, rest: str) -> None:
    """Show how much of the context is used, and how fast the last answer was."""
    answering, talk = session.answering, session.talk
    lines = [f"{answering.count(talk)} of {answering.context} tokens"]
    if talk.first:
        lines.append(f"{talk.first} of {len(talk.turns)} turns are left out")
    if answering.last is not None and answering.last.tokens:
        lines.append(session.speed())
    session.display.note("\n".join(lines))


def _exit(session: Session, rest: str) -> None:
    """Leave."""
    raise EOFError


#: Name -> what it does, as its docstring says.
COMMANDS: dict[str, Callable[[Session, str], None]] = {
    "help": _help, "system": _system, "reset": _reset, "undo": _undo, "regenerate": _regenerate, "save": _save,
    "load": _load, "set": _set, "model": _model, "tokens": _tokens, "exit": _exit,
}  # fmt: skip
_ARGUMENTS = {"system": "[TEXT]", "save": "FILE", "load": "FILE", "set": "[NAME VALUE]", "model": "[NAME]"}
_USAGES = [f"/{name} {_ARGUMENTS.get(name, '')}".rstrip() for name in COMMANDS]


def _options() -> list[str]:
    return [name for name, info in GenerationConfig.model_fields.items() if extra(info).get("flag")]


def _argument(rest: str, example: str) -> str:
    if not rest:
        raise ArgumentError("a file's name is missing", value=rest, hint=example)
    return rest


def _value(text: str) -> Any:
    """Return a value that was typed: JSON, ``none``, or a word."""
    words = {"none": None, "on": True, "off": False, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text
