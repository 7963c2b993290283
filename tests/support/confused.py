"""Confused arguments: values of every kind in places where they do not belong, drawn by a seed."""

from __future__ import annotations

import datetime
import decimal
import fractions
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mf_core.boundary import REPORT
from mf_core.errors import MFError


class Raising:
    """Every special method by which a value is read fails."""

    def _fail(self, *args: Any) -> Any:
        raise ValueError("\x1b[31mno\x1b[0m")

    __repr__ = __str__ = __index__ = __int__ = __float__ = __bool__ = __fspath__ = __array__ = _fail


class Odd(str):
    """A text whose own methods fail."""

    def __str__(self) -> str:
        raise KeyError("odd")


def _recursive() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def _deep(depth: int = 3000) -> list[Any]:
    items: list[Any] = []
    for _ in range(depth):
        items = [items]
    return items


#: Makers of values; each draw makes a new one.
VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: False, lambda: 0, lambda: 1, lambda: -1, lambda: 2, lambda: 7, lambda: 2**31,
    lambda: 10**18, lambda: -(10**40), lambda: 0.0, lambda: 0.5, lambda: 1.5, lambda: -0.1, lambda: float("nan"),
    lambda: float("inf"), lambda: 1e308, lambda: 1j, lambda: "", lambda: " ", lambda: "a", lambda: "gpt2_tiny",
    lambda: "a\0b", lambda: "\ud800", lambda: "\x1b[2J\x1b]0;t\x07", lambda: "\u202eabc", lambda: "x" * 100_000,
    lambda: "../../..", lambda: "/dev/null", lambda: "/proc/self/mem", lambda: "no:such:thing", lambda: "a/b",
    lambda: "你好", lambda: "👩‍👩‍👧", lambda: "1", lambda: "no", lambda: "true", lambda: "cpu", lambda: b"bytes",
    lambda: bytearray(b"\xff"),
    list, lambda: [1], lambda: [None], lambda: ["a", 1], lambda: [[1, 2], [3]], lambda: [-1], lambda: [10**18],
    lambda: ["a"], lambda: ["a", "\ud800"], lambda: (), lambda: (1, 2), dict, lambda: {"a": 1}, lambda: {1: 2},
    lambda: {"model_type": "gpt2"}, lambda: set(), lambda: {1}, lambda: frozenset("a"), lambda: range(3),
    lambda: iter([1]), lambda: (n for n in "ab"), lambda: object(), lambda: object, lambda: int, lambda: len,
    lambda: lambda: None, lambda: NotImplemented, lambda: ..., Raising, lambda: Odd("a"), _recursive, _deep,
    lambda: Path(), lambda: Path("/"), lambda: Path("nowhere"), lambda: Path("a\0b"), lambda: decimal.Decimal("NaN"),
    lambda: fractions.Fraction(1, 3), lambda: datetime.timedelta(1), lambda: slice(1), lambda: np.int64(3),
    lambda: np.float32("nan"), lambda: np.bool_(True), lambda: np.zeros((0,)), lambda: np.zeros((2, 3), np.int64),
    lambda: np.ones((1, 2, 3), np.float32), lambda: np.array(["a", "b"]), lambda: np.array([object()]),
    lambda: np.array(None), lambda: np.str_("a"), lambda: ValueError("x"), lambda: MFError("x"),
)  # fmt: skip


class Tally:
    """What came of the calls, by surface: results, clear errors, and everything else, which must be nothing."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.faults: list[str] = []
        self.unforeseen: list[str] = []  # clear, but by the boundary and not by a check

    def call(self, surface: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        counts = self.counts.setdefault(surface, [0, 0])
        try:
            result = function(*args, **kwargs)
            if hasattr(result, "__next__"):
                list(result)
            counts[0] += 1
        except MFError as error:
            counts[1] += 1
            text = str(error)
            if error.hint == REPORT:
                self.unforeseen.append(f"{surface}: {error.what}")
            if not all(line.isprintable() for line in text.split("\n")) or len(text) > 8000 or text.count("\n") > 2:
                self.faults.append(f"{surface}: {type(error).__name__} has a message not fit to print: {text[:300]!r}")
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            shown = [_safe(value) for value in (*args, *kwargs.items())]
            self.faults.append(f"{surface}({', '.join(shown)}): {type(error).__name__}: {_safe(error)}")

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts.values()))


def _safe(value: Any) -> str:
    try:
        return ascii(value)[:120]
    except BaseException as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"


def draws(
    seed: int, count: int, surfaces: list[tuple[str, Callable[[Callable[[], Any], random.Random], Any]]]
) -> Tally:
    """Call surfaces in turn with drawn values."""
    draw, tally = random.Random(seed), Tally()
    for number in range(count):
        name, make = surfaces[number % len(surfaces)]
        function, args, kwargs = make(lambda: draw.choice(VALUES)(), draw)
        tally.call(name, function, *args, **kwargs)
    return tally


def some(values: Callable[[], Any], names: list[str], draw: random.Random, most: int = 3) -> dict[str, Any]:
    """Return one to a few of ``names`` with drawn values."""
    return {draw.choice(names): values() for _ in range(draw.randint(1, most))}


def report(tally: Tally) -> Iterator[str]:
    """Yield a line for each surface."""
    for name, (right, clear) in sorted(tally.counts.items()):
        yield f"{name}: {right} results, {clear} clear errors"
