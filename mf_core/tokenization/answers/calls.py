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


def json_of(text: str) -> Any:
    """Return the value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def calls_of_json(text: str) -> list[Call] | None:
    """Read ``{"name": …, "arguments": {…}}`` or a list of them (Hermes, Qwen, Mistral, Llama 3)."""
    value = json_of(text)
    calls = [_call(entry) for entry in (value if isinstance(value, list) else [value])]
    found = [call for call in calls if call is not None]
    return found if found and len(found) == len(calls) else None


def call_of_json(text: str) -> Call | None:
    """Read one object."""
    return _call(json_of(text))


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
    calls: list[Call] = []
    for part in text.split("[TOOL_CALLS]"):
        head, mark, arguments = part.partition("[ARGS]")
        if not mark:
            head, mark, arguments = part.partition("{")
            arguments = mark + arguments
        name = head.partition("[CALL_ID]")[0].strip()
        found: list[Call] | None
        if re.fullmatch(r"[\w.-]+", name):
            value = json_of(arguments)
            found = [(name, value)] if isinstance(value, dict) else None
        else:
            found = calls_of_json(part)
        if found is None:
            return None
        calls += found
    return calls


def calls_of_deepseek(text: str) -> list[Call] | None:
    """Read what is between ``<｜tool▁calls▁begin｜>`` and its end: V3's fenced JSON, or V3.1's bare one."""
    calls: list[Call] = []
    for part in re.split(r"<｜tool▁call▁begin｜>|<｜tool▁call▁end｜>", text):
        if not part.strip():
            continue
        head, mark, body = part.partition("<｜tool▁sep｜>")
        fenced = re.fullmatch(r"\s*([^\n`]+)\n```json\n(.*)\n```\s*", body, re.DOTALL)
        name, arguments = (fenced[1], fenced[2]) if fenced else (head, body)
        value = json_of(arguments)
        if not mark or not isinstance(value, dict) or not name.strip():
            return None
        calls.append((name.strip(), value))
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
