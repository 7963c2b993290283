"""Writing and reading by one set of rules.

`Grammar.generate` takes one alternative and one row at each turn; `Grammar.check` backtracks over all of them, so it
accepts exactly what `generate` can produce. The notation of the rules is in story_notation.py.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from story_notation import Chain, Choice, Node, Rule, Slot, Text, capitalised, compile_template

Row = Mapping[str, str]
Table = Sequence[Row]
#: Variable -> number of its row.
Bindings = Mapping[str, int]

_T = TypeVar("_T")
_VOWELS = "aeiou"
_SENTENCE_END = re.compile(r"""[.!?]"? (?=["A-Z])|[。！？]”?(?=[^”])""")
#: How much of a text without spaces a rejection shows.
_SHOWN = 8


def pick(rng: random.Random, options: Sequence[_T]) -> _T:
    """Return one of `options`, by `rng.random()` alone: its stream is the same in every version of Python."""
    return options[int(rng.random() * len(options))]


def article(noun: str) -> str:
    """Return `noun` with "a" or "an" before it."""
    return f"{'an' if noun[0] in _VOWELS else 'a'} {noun}"


def _with_article(row: Row) -> Row:
    return {**row, "a": article(row["name"])} if row.get("name") else row


@dataclass(frozen=True)
class Rejection:
    """Why and where a text leaves the grammar.

    `kind` is "agreement" (a mention contradicts an earlier one), "wording", "stops early" or "goes on after the end";
    `slot` names the contradicted mention, as "hero.his"; `position` counts characters and `sentence` counts from 1.
    """

    kind: str
    position: int
    sentence: int
    expected: tuple[str, ...] = ()
    found: str = ""
    slot: str = ""

    @property
    def reason(self) -> str:
        """The kind, and for an agreement whose: "agreement of hero.his"."""
        return f"{self.kind} of {self.slot}" if self.slot else self.kind

    def __str__(self) -> str:
        where = f"sentence {self.sentence}, character {self.position}"
        wanted = " or ".join(repr(word) for word in self.expected[:3])
        if not self.expected:
            return f"{self.reason} ({where}): {self.found!r}"
        return f"{self.reason} ({where}): expected {wanted}, found {self.found!r}"


class Grammar:
    """Rules over tables of words, for writing (`generate`) and for reading (`check`).

    `rules` maps a name to a template, `variables` a variable to its table. A constraint `("pal.he", "!=", "hero.he")`
    or with "==" compares fields of two variables as soon as both are bound. A row with a name is given a field
    `a`, the name with its article. `spaced` says whether the texts have spaces between words; where they have none,
    as in Chinese, a rejection points to a character rather than a word. Raises ValueError for a broken template.
    """

    def __init__(
        self,
        rules: Mapping[str, str],
        variables: Mapping[str, Table],
        constraints: Sequence[tuple[str, str, str]] = (),
        spaced: bool = True,
    ) -> None:
        self.spaced = spaced
        self.rules = {name: compile_template(template) for name, template in rules.items()}
        self.tables = {variable: tuple(_with_article(row) for row in table) for variable, table in variables.items()}
        self._fields = {
            variable: [{name: compile_template(text) for name, text in row.items()} for row in table]
            for variable, table in self.tables.items()
        }
        #: variable -> (its field, must it be equal, the other variable, the other's field)
        self._constraints: dict[str, list[tuple[str, bool, str, str]]] = {variable: [] for variable in variables}
        for left, operator, right in constraints:
            (v, f), (w, g) = left.split("."), right.split(".")
            self._constraints[v].append((f, operator == "==", w, g))
            self._constraints[w].append((g, operator == "==", v, f))

    def generate(self, rng: random.Random, rule: str = "story") -> str:
        """Return one text; uses nothing of `rng` but `rng.random()`."""
        bindings: dict[str, int] = {}

        def write(node: Node) -> str:
            if isinstance(node, Text):
                return node.value
            if isinstance(node, Chain):
                return "".join(write(part) for part in node.parts)
            if isinstance(node, Choice):
                return write(pick(rng, node.options))
            if isinstance(node, Rule):
                return write(self.rule(node))
            bindings[node.variable] = pick(rng, self.allowed(node.variable, bindings))
            return write(self.field(node, bindings[node.variable]))

        return write(self.rules[rule])

    def check(self, text: str, rule: str = "story") -> Rejection | None:
        """Return None when `text` is a text of the grammar, else why it is not."""
        reading = _Reading(self, text)
        for end, _ in reading.match(self.rules[rule], 0, {}):
            if end == len(text):
                return None
            reading.complete = max(reading.complete, end)
        return reading.rejection()

    def rule(self, reference: Rule) -> Node:
        """Return the node a reference stands for."""
        node = self.rules[reference.name]
        return capitalised(node) if reference.capital else node

    def field(self, slot: Slot, row: int) -> Node:
        """Return the node of a slot's field in a row."""
        node = self._fields[slot.variable][row][slot.field]
        return capitalised(node) if slot.capital else node

    def allowed(self, variable: str, bindings: Bindings) -> Sequence[int]:
        """Return the rows `variable` may have beside `bindings`: its own if bound, else those the constraints leave."""
        if variable in bindings:
            return (bindings[variable],)
        return [i for i, row in enumerate(self.tables[variable]) if self._fits(variable, row, bindings)]

    def _fits(self, variable: str, row: Row, bindings: Bindings) -> bool:
        return all(
            (row[f] == self.tables[w][bindings[w]][g]) is equal
            for f, equal, w, g in self._constraints[variable]
            if w in bindings
        )


@dataclass
class _Reading:
    """One reading of one text, with a record of how far it came and what it wanted there."""

    grammar: Grammar
    text: str
    complete: int = -1  #: end of the longest beginning of `text` that is a whole text of the grammar
    _stopped: bool = False  #: did the text end where the grammar went on
    _word: int = 0  #: start of the furthest word that did not fit
    _wanted: dict[str, str] = field(default_factory=dict)  #: expected word there -> contradicted slot, or ""
    _quiet: bool = False

    def match(self, node: Node, position: int, bindings: Bindings) -> Iterator[tuple[int, Bindings]]:
        """Yield every (end, bindings) with which `node` can be read at `position`."""
        if isinstance(node, Text):
            if self.text.startswith(node.value, position):
                yield position + len(node.value), bindings
            else:
                self._fail(node.value, position)
        elif isinstance(node, Choice):
            for option in node.options:
                yield from self.match(option, position, bindings)
        elif isinstance(node, Chain):
            yield from self._match_chain(node.parts, position, bindings)
        elif isinstance(node, Rule):
            yield from self.match(self.grammar.rule(node), position, bindings)
        else:
            yield from self._match_slot(node, position, bindings)

    def _match_chain(
        self, parts: tuple[Node, ...], position: int, bindings: Bindings
    ) -> Iterator[tuple[int, Bindings]]:
        if not parts:
            yield position, bindings
            return
        for middle, bound in self.match(parts[0], position, bindings):
            yield from self._match_chain(parts[1:], middle, bound)

    def _match_slot(self, slot: Slot, position: int, bindings: Bindings) -> Iterator[tuple[int, Bindings]]:
        allowed = self.grammar.allowed(slot.variable, bindings)
        fitted = False
        for row in allowed:
            for result in self.match(self.grammar.field(slot, row), position, {**bindings, slot.variable: row}):
                fitted = True
                yield result
        if not fitted and not self._quiet and self._fits_elsewhere(slot, position, bindings, allowed):
            for row in allowed:
                node = self.grammar.field(slot, row)
                if isinstance(node, Text):
                    self._fail(node.value, position, str(slot))

    def _fits_elsewhere(self, slot: Slot, position: int, bindings: Bindings, allowed: Sequence[int]) -> bool:
        """Would the text fit here, had the variable another row than it may have?"""
        self._quiet = True
        ends = (
            end
            for row in range(len(self.grammar.tables[slot.variable]))
            if row not in allowed
            for end, _ in self.match(self.grammar.field(slot, row), position, {**bindings, slot.variable: row})
        )
        spaced = self.grammar.spaced
        found = any(not self.text[end : end + 1].isalnum() if spaced else end > position for end in ends)
        self._quiet = False
        return found

    def _fail(self, expected: str, position: int, slot: str = "") -> None:
        if self._quiet:
            return
        differs = position
        while differs < len(self.text) and differs - position < len(expected):
            if self.text[differs] != expected[differs - position]:
                break
            differs += 1
        self._stopped = self._stopped or differs == len(self.text)
        word = self.text.rfind(" ", 0, differs) + 1 if self.grammar.spaced else differs
        if word > self._word:
            self._word, self._wanted = word, {}
        if word == self._word:
            start = max(word - position, 0)
            wanted = self._first_word(expected[start:])
            self._wanted[wanted] = slot or self._wanted.get(wanted, "")

    def _first_word(self, text: str) -> str:
        return text.split(" ")[0] if self.grammar.spaced else text[:_SHOWN]

    def rejection(self) -> Rejection:
        """Return the furthest failure."""
        place = max(self._word, self.complete)
        sentence = len(_SENTENCE_END.findall(self.text[: place + 1])) + 1
        found = self._first_word(self.text[self._word :])
        if self._stopped:
            return Rejection("stops early", len(self.text), sentence, tuple(sorted(self._wanted)), "")
        if self.complete >= 0 and self.complete >= self._word - self.grammar.spaced:
            return Rejection("goes on after the end", place, sentence, (), self.text[self.complete :][:40])
        slots = {word: slot for word, slot in self._wanted.items() if slot}
        if slots:
            return Rejection("agreement", place, sentence, tuple(sorted(slots)), found, sorted(slots.values())[0])
        return Rejection("wording", place, sentence, tuple(sorted(self._wanted)), found)
