"""``--set name=value`` of several commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError
from ..utils.files import parse_yaml


def add_set_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add a repeatable option ``--set`` to a command; ``what`` describes the settings."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help=what)


def put_settings(run: dict[str, Any], settings: Iterable[str]) -> None:
    """Put each ``name=value`` into a mapping, the later over the earlier."""
    for setting in settings:
        _put(run, setting)


def _put(run: dict[str, Any], setting: str) -> None:
    """Put ``name=value`` into a mapping; the value is read as YAML, and a name with dots goes into mappings within."""
    import yaml

    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise ArgumentError(f"--set {setting!r} is not NAME=VALUE", value=setting)
    try:
        value = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ArgumentError(f"--set {setting!r}: the value is not YAML", value=text, why=str(error)) from error
    *path, last = name.split(".")
    for part in path:
        inner = run.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ArgumentError(f"--set {setting!r}: {part!r} is {inner!r}, not a mapping", value=inner)
        run = inner
    run[last] = value
