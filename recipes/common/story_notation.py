"""The notation the stories are written in: one template drives both the generator and the parser.

    {hero}        the field ``name`` of the table row bound to the variable ``hero``
    {hero.his}    another field of that row; ``{hero.His}`` is the same with a capital
    [red|blue]    one of several alternatives; they nest
    <plot>        another rule; ``<Plot>`` is the same with a capital

The first mention of a variable picks its row; every later mention must agree with it. A field may itself be a template.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\{(\w+)(?:\.(\w+))?\}|<(\w+)>|([\[|\]])|([^{}<>\[|\]]+)")


class Text(NamedTuple):
    """Fixed words."""

    value: str


class Slot(NamedTuple):
    """A field of a bound row."""

    variable: str
    field: str
    capital: bool = False

    def __str__(self) -> str:
        return self.variable if self.field == "name" else f"{self.variable}.{self.field}"


class Rule(NamedTuple):
    """A reference to a named rule."""

    name: str
    capital: bool = False


class Choice(NamedTuple):
    """One of several nodes."""

    options: tuple["Node", ...]


class Chain(NamedTuple):
    """Nodes one after the other."""

    parts: tuple["Node", ...]


Node = Text | Slot | Rule | Choice | Chain


def compile_template(template: str) -> Node:
    """Return the node for `template`; raise ValueError where the notation is broken."""
    tokens: list[re.Match[str]] = []
    position = 0
    while position < len(template):
        token = _TOKEN.match(template, position)
        if token is None:
            raise ValueError(f"cannot read {template[position:]!r} in the template {template!r}")
        tokens.append(token)
        position = token.end()
    node, used = _read_choice(tokens, 0)
    if used != len(tokens):
        raise ValueError(f"unbalanced ']' in the template {template!r}")
    return node


def _read_choice(tokens: list[re.Match[str]], i: int) -> tuple[Node, int]:
    options: list[Node] = []
    parts: list[Node] = []
    while i < len(tokens):
        variable, column, rule, mark, text = tokens[i].groups()
        if mark == "]":
            break
        if mark == "|":
            options.append(_chain(parts))
            parts = []
        elif mark == "[":
            inner, i = _read_choice(tokens, i + 1)
            if i == len(tokens):
                raise ValueError(f"unbalanced '[' in the template {tokens[0].string!r}")
            parts.append(inner)
        elif variable:
            column = column or "name"
            parts.append(Slot(variable, column[0].lower() + column[1:], column[0].isupper()))
        elif rule:
            parts.append(Rule(rule[0].lower() + rule[1:], rule[0].isupper()))
        else:
            parts.append(Text(text))
        i += 1
    options.append(_chain(parts))
    return (options[0] if len(options) == 1 else Choice(tuple(options))), i


def _chain(parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Chain(tuple(parts))


def capitalised(node: Node) -> Node:
    """Return `node` with the first letter of whatever it says in upper case."""
    if isinstance(node, Text):
        return Text(node.value[:1].upper() + node.value[1:])
    if isinstance(node, Choice):
        return Choice(tuple(capitalised(option) for option in node.options))
    if isinstance(node, Chain):
        return Chain((capitalised(node.parts[0]), *node.parts[1:])) if node.parts else node
    return node._replace(capital=True)
