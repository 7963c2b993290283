"""Rewording of error hints from Python arguments to command-line options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import MFError

#: ``name=value`` outside of a longer name, and not after ``--set``, which is what is typed already.
_ARGUMENT = re.compile(r"(?<!--set )(?<![\w.-])([a-z][a-z_0-9]*)=('[^']*'|\"[^\"]*\"|[^\s,;()]+)")
#: Arguments of Python that a command calls otherwise.
_OTHER_NAMES = {"resume_training": "resume", "overwrite_output_dir": "overwrite"}


def message(error: MFError, parser: argparse.ArgumentParser | None) -> str:
    """Return an error's text; in its hint, arguments that the command has as options are written as such."""
    if parser is None or not error.hint:
        return str(error)
    hint = reworded(error.hint, parser)
    return "\n".join([*str(MFError.__str__(error)).split("\n")[:-1], f"  try: {hint}"])


def reworded(hint: str, parser: argparse.ArgumentParser) -> str:
    """Return a hint with ``name=value`` as ``--name value``, or ``--set name=value``, where the command takes that.

    What stands in parentheses or between backquotes is code, and stays.
    """
    options = {text: action for action in parser._actions for text in action.option_strings}
    parts = re.split(r"(`[^`]*`|\([^()]*\))", hint)
    replace = _as_option(options)
    return "".join(part if number % 2 else _ARGUMENT.sub(replace, part) for number, part in enumerate(parts))


def _as_option(options: dict[str, argparse.Action]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        name, value = match[1], match[2].strip("'\"")
        for known in (name, _OTHER_NAMES.get(name, name)):
            option = f"--{known.replace('_', '-')}"
            if option in options:
                return option if options[option].nargs == 0 else f"{option} {value}"
        return f"--set {name}={value}" if "--set" in options else match[0]

    return replace


def parser_of(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser | None:
    """Return the command's parser whose function is ``run``."""
    return next((found for found in _all(parser) if found.get_default("run") is run), None)


def _all(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _all(inner)
