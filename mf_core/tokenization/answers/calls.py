"""Tool calls as the families write them, read into names and arguments.

Each function returns None for a text that is no call.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from .message import Call

_ESCAPE = "<escape>"
_DECODER = json.JSONDecoder()
_MISTRAL_HEAD = re.compile(r"\s*(?:\[TOOL_CALLS\])?\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*\w*)?\s*(?:\[ARGS\])?\s*")
_DEEPSEEK_FENCED = re.compile(r"\s*<｜tool▁call▁begin｜>\w*<｜tool▁sep｜>\s*([^\n`]+)\n```json\n\s*")
_DEEPSEEK_BARE = re.compile(r"\s*<｜tool▁call▁begin｜>\s*([\w.-]+)\s*<｜tool▁sep｜>\s*")
_DEEPSEEK_END = re.compile(r"\s*(?:```)?\s*(?:<｜tool▁call▁end｜>|\Z)")


def json_of(text: str) -> Any:
    """Return the value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def in_json_string(text: str) -> bool:
    """Return whether a JSON text breaks off within a string."""
    return re.sub(r"\\.", "", text, flags=re.DOTALL).count('"') % 2 == 1


def _json_at(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a position, and where it ends; None and ``start`` where there is none."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start


def calls_of_json(text: str) -> list[Call] | None:
    """Read ``{"name": …, "arguments": {…}}``, several after each other, or a list of them (Hermes, Qwen, Llama 3)."""
    calls: list[Call | None] = []
    position = _skip(text, 0)
    while position < len(text):
        value, end = _json_at(text, position)
        calls += [_call(entry) for entry in (value if isinstance(value, list) else [value])]
        if end == position:
            return None
        position = _skip(text, end)
    found = [call for call in calls if call is not None]
    return found if found and len(found) == len(calls) else None


def _skip(text: str, start: int) -> int:
    """Return where something else than white space and semicolons comes."""
    found = re.compile(r"[\s;]*").match(text, start)
    return found.end() if found else start


def _call(value: Any) -> Call | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = value.get("name", value.get("function"))
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = json_of(arguments or "{}")
    return (name, arguments or {}) if isinstance(name, str) and name and isinstance(arguments, dict) else None


def calls_of_mistral(text: str) -> list[Call] | None:
    """Read what follows ``[TOOL_CALLS]``: a JSON list, or ``name[ARGS]{…}`` once or several times."""
    if text.lstrip().startswith(("[{", "{")):
        return calls_of_json(text)
    calls, rest = [], text
    while rest.strip():
        head = _MISTRAL_HEAD.match(rest)
        value, end = _json_at(rest, head.end()) if head is not None else (None, 0)
        if head is None or not isinstance(value, dict):
            return None
        calls.append((head[1], value))
        rest = rest[end:]
    return calls or None


def calls_of_deepseek(text: str) -> list[Call] | None:
    """Read what is between ``<｜tool▁calls▁begin｜>`` and its end: V3's fenced JSON, or V3.1's bare one."""
    calls, rest = [], text
    while rest.strip():
        head = _DEEPSEEK_FENCED.match(rest) or _DEEPSEEK_BARE.match(rest)
        value, end = _json_at(rest, head.end()) if head is not None else (None, 0)
        tail = _DEEPSEEK_END.match(rest, end)
        if head is None or tail is None or not isinstance(value, dict):
            return None
        calls.append((head[1].strip(), value))
        rest = rest[tail.end() :]
    return calls or None


def calls_of_llama(text: str) -> list[Call] | None:
    """Read what follows ``<|python_tag|>``: JSON, or ``name.call(key="value")`` of a built-in tool."""
    return calls_of_json(text) or _python_call(re.sub(r"^\s*(\w+)\.call\(", r"\1(", text))


def calls_of_python(text: str) -> list[Call] | None:
    """Read Python calls, one a line, with or without ``print`` around them (Gemma 3's ``tool_code``)."""
    calls: list[Call] = []
    for line in text.strip().splitlines():
        found = _python_call(line)
        if found is None:
            return None
        calls += found
    return calls or None


def _python_call(text: str) -> list[Call] | None:
    """Read one call whose arguments are literals with names."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
            node = node.args[0]
        if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
            return None
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        json.dumps(arguments)  # bytes and sets are no arguments of a tool
        return [(ast.unparse(node.func), arguments)]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def in_escaped_string(text: str) -> bool:
    """Return whether a call of :func:`calls_of_gemma` breaks off within a string."""
    return text.count(_ESCAPE) % 2 == 1


def calls_of_gemma(text: str) -> list[Call] | None:
    """Read ``call:name{key:<escape>text<escape>,other:1}`` (FunctionGemma)."""
    head = re.match(r"\s*call:([\w.-]+)(?=\{)", text)
    if head is None:
        return None
    parts = text[head.end() :].split(_ESCAPE)
    if len(parts) % 2 == 0:
        return None
    # Outside of escaped strings, keys get their quotation marks; what is left is JSON.
    joined = "".join(
        json.dumps(part) if number % 2 else re.sub(r"([{,]\s*)([A-Za-z_][\w.-]*)\s*:", r'\1"\2":', part)
        for number, part in enumerate(parts)
    )
    arguments = json_of(joined)
    return [(head[1], arguments)] if isinstance(arguments, dict) else None
