"""Tool calls as Qwen3-Coder writes them: a tag for the function, and one for each parameter.

The text of a parameter does not say of which type it is; the tool's schema does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .calls import calls_of_json, json_of
from .message import Call

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)\s*(?:</function>)?\s*", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>(?=\s*(?:<parameter=|\Z))", re.DOTALL)


def in_parameter(text: str) -> bool:
    """Return whether a call breaks off within a parameter."""
    return text.rfind("<parameter=") > text.rfind("</parameter>")


class XmlCalls:
    """Reads ``<function=name><parameter=key>value</parameter></function>``, or else JSON.

    Args:
        tools: The schemas of the tools that the model was given.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._parameters: dict[str, Mapping[str, Any]] = {}
        for tool in tools:
            function = tool.get("function", tool)
            properties = (function.get("parameters") or {}).get("properties")
            if isinstance(properties, Mapping):
                self._parameters[str(function.get("name"))] = properties

    def __call__(self, text: str) -> list[Call] | None:
        """Return the call in a text; None where it is none."""
        function = _FUNCTION.fullmatch(text)
        if function is None:
            return calls_of_json(text)
        name, body = function[1], function[2]
        schemas, arguments, position = self._parameters.get(name, {}), {}, 0
        while parameter := _PARAMETER.match(body, position):
            arguments[parameter[1]] = _value(parameter[2], schemas.get(parameter[1]))
            position = parameter.end()
        return None if body[position:].strip() else [(name, arguments)]


def _value(text: str, schema: Any) -> Any:
    """Return a parameter's value: of a type that its schema allows, or what it is as JSON; otherwise the text."""
    types = _types(schema)
    if types == {"string"}:
        return text
    word = text.strip()
    value = ast.literal_eval(word) if word in ("None", "True", "False") else json_of(text)  # Jinja2 writes such words
    if value is None and word not in ("None", "null"):
        return text
    return value if _type(value) & types or (not types and not isinstance(value, str)) else text


def _types(schema: Any) -> set[str]:
    """Return the types that a schema allows; none where it does not say."""
    if not isinstance(schema, Mapping):
        return set()
    given = schema.get("type")
    if given is not None:
        return {given} if isinstance(given, str) else set(given)
    if "enum" in schema:
        return set().union(*map(_type, schema["enum"]))
    return set().union(*(_types(part) for name in ("anyOf", "oneOf") for part in schema.get(name, ())))


def _type(value: Any) -> set[str]:
    """Return the names that JSON schema has for a value's type."""
    kinds = {
        bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, str: {"string"}, list: {"array"},
        dict: {"object"}, type(None): {"null"},
    }  # fmt: skip
    return kinds[type(value)]
