"""JSON schemas of Python functions, for the tools that chat templates show to a model."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import ArgumentError

_SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_PLAIN = {**_SCALARS, list: "array", tuple: "array", dict: "object"}
_SECTION = re.compile(r"^[ \t]*(Args|Returns|Raises):[ \t]*$", re.MULTILINE)
_CHOICES = re.compile(r"\s*\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """Return ``{"type": "function", "function": {…}}`` for a function, as ``transformers``' ``get_json_schema`` does.

    Name, description, and types and descriptions of the parameters come from the signature and from a docstring with
    a section ``Args:`` (and ``Returns:``). ``(choices: ["a", "b"])`` at a description's end gives the values allowed.

    Raises:
        ArgumentError: The function has no docstring; a parameter has no type or no description, or a type that JSON
            has not.
    """
    name = getattr(function, "__name__", type(function).__name__)
    text = inspect.getdoc(function)
    if not text:
        raise ArgumentError(
            f"the tool {name!r} has no docstring", value=function,
            hint="describe it and its arguments there, or pass its JSON schema as a dict",
        )
    description, arguments, returned = _sections(text.strip())
    schema = _parameters(function, name)
    returns = schema["properties"].pop("return", None)
    for argument, kind in schema["properties"].items():
        if argument not in arguments:
            raise ArgumentError(
                f"the docstring of the tool {name!r} does not describe {argument!r}", value=function,
                hint="add it to the section 'Args:', as in \"city: The city's name\"",
            )  # fmt: skip
        text = arguments[argument]
        choices = _CHOICES.search(text)
        if choices is not None:
            try:
                kind["enum"] = json.loads(choices[1])
            except ValueError as error:
                raise ArgumentError(
                    f"the choices of {argument!r} of the tool {name!r} are no JSON list", value=choices[1],
                    why=str(error), hint='write them as in (choices: ["tea", "coffee"])',
                ) from error
            text = text[: choices.start()].strip()
        kind["description"] = text
    result: dict[str, Any] = {"name": name, "description": description, "parameters": schema}
    if returns is not None:
        if returned is not None:
            returns["description"] = returned
        result["return"] = returns
    return {"type": "function", "function": result}


def _sections(text: str) -> tuple[str, dict[str, str], str | None]:
    """Return the description, each argument's, and that of what is returned."""
    parts = _SECTION.split(text)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return parts[0].strip(), _arguments(found.get("Args", "")), found["Returns"].strip() if "Returns" in found else None


def _arguments(section: str) -> dict[str, str]:
    lines = [line for line in section.split("\n") if line.strip()]
    if not lines:
        return {}
    depth = len(lines[0]) - len(lines[0].lstrip())
    arguments: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        started = re.match(r"(\w+)[ \t]*:[ \t]*(.*)", line[depth:]) if not line[:depth].strip() else None
        if started is not None:
            current = arguments[started[1]] = [started[2].strip()]
        else:
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in arguments.items()}


def _parameters(function: Callable[..., Any], name: str) -> dict[str, Any]:
    signature = inspect.signature(function)
    hints = get_type_hints(function)
    parameters = dict(signature.parameters)
    first = next(iter(parameters), None)
    if first in ("self", "cls") and first not in hints:
        del parameters[first]
    for parameter in parameters.values():
        if parameter.annotation is inspect.Parameter.empty:
            raise ArgumentError(
                f"the parameter {parameter.name!r} of the tool {name!r} has no type", value=function,
                hint=f"annotate it, as in {parameter.name}: str",
            )
    properties = {}
    for key, hint in hints.items():
        if key in parameters:
            properties[key] = _schema_of(hint, name)
        elif key == "return":
            try:
                properties[key] = _schema_of(hint, name)
            except ArgumentError:
                continue  # a model never writes what a tool returns
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    required = [parameter.name for parameter in parameters.values() if parameter.default is inspect.Parameter.empty]
    return {**schema, "required": required} if required else schema


def _schema_of(hint: Any, tool: str) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if origin is None and hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin is None and isinstance(hint, type) and issubclass(hint, Enum):
        return _values([member.value for member in hint], hint, tool)
    if origin is Literal:
        return _values(list(args), hint, tool)
    if origin in (Union, types.UnionType):
        return _union(args, tool)
    if origin is list:
        return {"type": "array", "items": _schema_of(args[0], tool)}
    if origin is tuple and len(args) > 1 and ... not in args:
        return {"type": "array", "prefixItems": [_schema_of(arg, tool) for arg in args]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(args[1], tool)}
    raise ArgumentError(
        f"the type {hint!r} in the tool {tool!r} has no form in JSON", value=hint,
        hint="use int, float, str, bool, Enum, Literal, and list, dict, tuple of several or unions of them; "
        "or pass the tool's JSON schema as a dict",
    )


def _union(args: tuple[Any, ...], tool: str) -> dict[str, Any]:
    kinds = [_schema_of(arg, tool) for arg in args if arg is not type(None)]
    if len(kinds) == 1:
        result = kinds[0]
    elif all(kind.keys() == {"type"} and isinstance(kind["type"], str) for kind in kinds):
        names = sorted({kind["type"] for kind in kinds})
        result = {"type": names[0] if len(names) == 1 else names}
    else:
        result = {"anyOf": kinds}
    return {**result, "nullable": True} if type(None) in args else result


def _values(values: list[Any], hint: Any, tool: str) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise ArgumentError(f"the values of {hint!r} in the tool {tool!r} are not those of JSON", value=hint)
    names = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}
