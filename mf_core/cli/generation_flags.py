"""Flags of ``mf generate`` and ``mf chat``, made of the fields of the generation settings."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import MFError
from ..generation.config import GenerationConfig
from ..generation.options import extra, kinds

_SHORT = {int: ("N", int), float: ("X", float), str: ("TEXT", str)}


def add_generation_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option of generation."""
    group = parser.add_argument_group("choosing tokens")
    group.add_argument("--greedy", action="store_false", dest="do_sample", default=None, help="the most likely token")
    for name, info in GenerationConfig.model_fields.items():
        if not extra(info).get("flag"):
            continue
        flag, help = f"--{name.replace('_', '-')}", _flags(info.description or "").replace("%", "%%")
        found = [kind for kind in kinds(info.annotation) if kind is not type(None)]
        if name == "stop":
            group.add_argument(flag, action="append", metavar="TEXT", help=f"{help} May be repeated.")
        elif found == [bool]:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=help)
        elif len(found) == 1 and found[0] in _SHORT:
            metavar, kind = _SHORT[found[0]]
            group.add_argument(flag, type=kind, metavar=metavar, help=help)
        else:
            group.add_argument(flag, type=_json, metavar="JSON", help=f"{help} Written as JSON.")


def given_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the generation options that the command line gave."""
    names = GenerationConfig.model_fields
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


@contextmanager
def in_flags() -> Iterator[None]:
    """Reword errors in the block: flags instead of Python keywords."""
    try:
        yield
    except MFError as error:
        error.what, error.hint = _flags(error.what), None if error.hint is None else _flags(error.hint)
        error.why = None if error.why is None else _flags(error.why)
        error.args = (error.what, *error.args[1:])
        raise


_OTHER = ("assistant_model", "batch_size", "weight_dtype", "device_target", "revision")
_NAMES = "|".join(sorted((*GenerationConfig.model_fields, *_OTHER), key=len, reverse=True))
_SETTING = re.compile(rf"\b({_NAMES})=(\([^)]*\)|\[[^\]]*\]|'[^']*'|[\w.+-]+)")
_NAME = re.compile(rf"(?<![\w'\"-])({_NAMES})\b(?!=)")


def _flags(text: str) -> str:
    """Return a message with ``--top-k 3`` instead of ``top_k=3``."""

    def flag(name: str) -> str:
        return "--backend" if name == "device_target" else f"--{name.replace('_', '-')}"

    def setting(match: re.Match[str]) -> str:
        name, value = match.groups()
        if value in ("True", "False"):
            off = "--greedy" if name == "do_sample" else f"--no-{name.replace('_', '-')}"
            return flag(name) if value == "True" else off
        return f"without {flag(name)}" if value == "None" else f"{flag(name)} {value}"

    return _NAME.sub(lambda match: flag(match[1]) if "_" in match[1] else match[1], _SETTING.sub(setting, text))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a word, such as never; what is not one is refused by the option
