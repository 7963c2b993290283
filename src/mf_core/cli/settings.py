"""``--set name=value`` of several commands."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError


def put_setting(run: dict[str, Any], setting: str) -> None:
    """Put ``name=value`` into a mapping; the value is read as YAML, and a name with dots goes into mappings within."""
    import yaml

    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise ArgumentError(f"--set {setting!r} is not NAME=VALUE", value=setting)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ArgumentError(f"--set {setting!r}: the value is not YAML", value=text, why=str(error)) from error
    *path, last = name.split(".")
    for part in path:
        inner = run.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ArgumentError(f"--set {setting!r}: {part!r} is {inner!r}, not a mapping", value=inner)
        run = inner
    run[last] = value
