"""Parts of pages that are made of the program itself, when the site is built.

A line ``<!-- made: KIND NAME -->`` in a page is replaced: ``command`` by the help of every ``mf`` command, ``settings
module:Class`` by a table of a class's fields, ``checks module:Contract`` by a table of what a contract checks,
``drawing FILE`` by a drawing that takes the page's colours. When the site is built, each of its pages is looked at: one
that would fetch something from elsewhere, or links to nothing, is an error.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.plugins import event_priority

_MADE = re.compile(r"^<!-- made: (\w+)(?: (\S+))? -->$", re.MULTILINE)
_FETCHED = re.compile(r"<(?:script|img|iframe|link rel=\"stylesheet\")[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)")
_LOCAL = re.compile(r"(?:href|src)=\"(?![a-z]+:|/|#)([^\"#?]+)")
_UNRESOLVED = re.compile(r"href=\"([\w/-]+)\.md(#[^\"]*)?\"")
_ATTRIBUTE = re.compile(r"(\w+(?:, \w+)*): (.*)")


def on_startup(**_: Any) -> None:
    """Keep jieba, which segments Chinese for the search, from logging its dictionary."""
    jieba = importlib.import_module("jieba")
    jieba.setLogLevel(logging.WARNING)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what is made; MkDocs calls this for each page."""
    return _MADE.sub(lambda match: MAKERS[match[1]](match[2]), markdown)


def command(_: str | None) -> str:
    """Return the help of ``mf`` and of each of its commands."""
    from mf_core.cli import COMMANDS

    os.environ["COLUMNS"] = "100"  # argparse's line width
    parser = argparse.ArgumentParser(prog="mf", description="Large models on MindSpore, from plugins.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        module.add_commands(commands)
    return "\n\n".join(
        f"{'##' if name.count(' ') == 1 else '###'} `{name}`\n\n```text\n{one.format_help().strip()}\n```"
        for name, one in _parsers(parser)
    )


def _parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child.prog, child
                yield from _parsers(child)


def settings(target: str | None) -> str:
    """Return a table of the fields of a pydantic class: name, type, default, meaning (from the docstrings)."""
    module, _, name = (target or "").partition(":")
    cls = getattr(importlib.import_module(module), name)
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings.update(attributes(inspect.cleandoc(base.__doc__ or "")))
    rows = ["| field | type | default | |\n|---|---|---|---|"]
    for field, info in cls.model_fields.items():
        default = "" if info.is_required() else _shown(info)
        meaning = meanings.get(field) or _cell(info.description or "")
        rows.append(f"| `{field}` | {_type(cls, field)} | {default} | {meaning} |")
    return "\n".join(rows)


def attributes(docstring: str) -> dict[str, str]:
    """Return the description of each name in the section ``Attributes:`` of a docstring, as Markdown on one line."""
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)*)", docstring, re.MULTILINE)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        match = _ATTRIBUTE.match(line[4:])
        if match:
            names = match[1].split(", ")
            found.update(dict.fromkeys(names, match[2]))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return {name: _cell(text) for name, text in found.items()}


def _cell(text: str) -> str:
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("|", "\\|")


def _shown(info: Any) -> str:
    if info.default_factory is not None:
        return "from the environment"
    return "none" if info.default is None else f"`{info.default!r}`"


def _type(cls: type, field: str) -> str:
    """Return a field's type as its class writes it, or as the schema does for named types."""
    schema = cls.model_json_schema()["properties"][field]  # type: ignore[attr-defined]
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return _cell(" or ".join(_kind(one) for one in kinds))


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value!r}`" for value in schema["enum"])
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = "".join(f" {sign} {schema[key]:g}," for key, sign in signs.items() if key in schema).rstrip(",")
    names = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "array": "list", "object": "dict"}
    return names.get(schema.get("type", ""), "any") + bounds


def checks(target: str | None) -> str:
    """Return a table of a contract's own checks, and why each matters; not those of the contracts it builds on."""
    module, _, name = (target or "").partition(":")
    contract = getattr(importlib.import_module(module), name)
    others = [cls for cls in contract.__mro__[1:] if cls.__name__.endswith("Contract")]
    built_on = {cls for other in others for cls in other.__mro__}
    own = [cls for cls in contract.__mro__ if cls not in built_on]
    tests = {key: value for cls in reversed(own) for key, value in vars(cls).items() if key.startswith("test_")}
    rows = [
        f"| {key.removeprefix('test_').replace('_', ' ')} | {_cell(' '.join((value.__doc__ or '').split()))} |"
        for key, value in tests.items()
    ]
    return "\n".join(["| check | why it matters |", "|---|---|", *rows])


def drawing(name: str | None) -> str:
    """Return a drawing of ``docs/assets`` as part of the page, so that it follows its light or dark colours."""
    svg = (Path(__file__).parent / "assets" / (name or "")).read_text(encoding="utf-8")
    return f'<figure class="drawing">\n{svg.strip()}\n</figure>'


def on_page_content(html: str, page: Any, config: Any, **_: Any) -> str:
    """Let a translated page link to the English one where there is no translation."""
    if not page.file.src_uri.endswith(".zh.md"):
        return html

    def english(match: re.Match[str]) -> str:
        if not Path(config["docs_dir"], f"{match[1]}.md").is_file():
            raise RuntimeError(f"{page.file.src_uri} links to {match[1]}.md, which is not there")
        return f'href="../{match[1]}.html{match[2] or ""}"'

    return _UNRESOLVED.sub(english, html)


@event_priority(-200)  # after the other language has been built, which is done at -100
def on_post_build(config: Any, **_: Any) -> None:
    """Raise an error for a page that fetches anything from another host, or links to a page that is not there."""
    site = Path(config["site_dir"])
    for page in sorted(site.rglob("*.html")):
        html = page.read_text(encoding="utf-8")
        if found := _FETCHED.search(html):
            raise RuntimeError(f"{page.relative_to(site)} fetches {found[1]}")
        for target in set(_LOCAL.findall(html)):
            if page.name != "404.html" and not (page.parent / unquote(target)).exists():
                raise RuntimeError(f"{page.relative_to(site)} links to {target}, which is not there")


MAKERS = {"command": command, "checks": checks, "settings": settings, "drawing": drawing}
