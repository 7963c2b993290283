"""Figures by round as one table, as JSON and as a picture."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Units of what a busy machine changes.
_TIMED = ("s", "ms", "tokens/s")


@dataclass
class Figures:
    """What one engine was measured at.

    Attributes:
        engine: What it is called in the table.
        values: One for each round.
        failure: Why there is none.
    """

    engine: str
    values: list[float] = field(default_factory=list)
    failure: str = ""

    def __str__(self) -> str:
        return self.failure or (spread(self.values) if self.values else "")


@dataclass
class Row:
    """A figure of ours beside a peer's.

    Attributes:
        benchmark: What it is selected by.
        what, unit: What is measured; the unit may be empty.
        ours, peer: The figures; no peer: there is nothing to compare with.
        target: What ours / peer is to reach, or to stay below where less is better.
        higher: Whether more is better.
        limit: What the machine allows at most, and the share of it that ours reached in each round.
        note: What else there is to say.
        noisy: Whether others took a part of the machine in some of the rounds.
    """

    benchmark: str
    what: str
    unit: str
    ours: Figures
    peer: Figures | None = None
    target: float | None = None
    higher: bool = True
    limit: tuple[str, list[float]] | None = None
    note: str = ""
    noisy: bool = False

    @property
    def ratios(self) -> list[float]:
        """Ours / peer, round by round."""
        if self.peer is None:
            return []
        return [mine / theirs for mine, theirs in zip(self.ours.values, self.peer.values, strict=False)]

    @property
    def met(self) -> bool | None:
        """Whether the median of the ratios reaches the target; None: there is no target or no ratio."""
        if self.target is None or not self.ratios:
            return None
        ratio = statistics.median(self.ratios)
        return ratio >= self.target if self.higher else ratio <= self.target

    def cells(self) -> list[str]:
        """Return the row as it stands in the table."""
        goal = "" if self.target is None else f"{'≥' if self.higher else '≤'} {self.target:g}"
        if goal:
            goal += {True: " met", False: " missed", None: " not measured"}[self.met]
            goal += ", noisy" if self.noisy and self.unit in _TIMED else ""
        notes = [self.note] if self.note else []
        if self.limit and self.limit[1]:
            notes.insert(0, f"{statistics.median(self.limit[1]):.0%} of {self.limit[0]}")
        return [
            f"{self.what}, {self.unit}".removesuffix(", "), self.ours.engine, str(self.ours),
            self.peer.engine if self.peer else "", str(self.peer or ""), spread(self.ratios) if self.ratios else "",
            goal, "; ".join(notes),
        ]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        def figures(each: Figures | None) -> dict[str, Any] | None:
            return each and {"engine": each.engine, "by_round": each.values, "failure": each.failure or None}

        return {
            "benchmark": self.benchmark, "what": self.what, "unit": self.unit, "ours": figures(self.ours),
            "peer": figures(self.peer), "ratio_by_round": self.ratios,
            "ratio": statistics.median(self.ratios) if self.ratios else None, "target": self.target,
            "higher_is_better": self.higher, "met": self.met,
            "limit": self.limit and {"of": self.limit[0], "share_by_round": self.limit[1]},
            "note": self.note, "noisy": self.noisy,
        }  # fmt: skip


def spread(values: list[float]) -> str:
    """Return median, least and most, with three digits or all before the point."""

    def short(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

    return f"{short(statistics.median(values))} ({short(min(values))} to {short(max(values))})"


def as_text(rows: list[Row]) -> str:
    """Return the table."""
    heads = ["what", "ours", "", "peer", "", "ours / peer", "target", ""]
    lines = [heads, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def draw(rows: list[Row], title: str, file: Path) -> None:
    """Draw how many times better ours is than each peer, and each target."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row.ratios][::-1]

    def better(row: Row, ratio: float) -> float:
        return ratio if row.higher else 1 / ratio

    figure, axes = pyplot.subplots(figsize=(14, 2 + 0.42 * len(shown)), layout="constrained")
    for y, row in enumerate(shown):
        ratios = [better(row, ratio) for ratio in row.ratios]
        middle = better(row, statistics.median(row.ratios))
        colour = {True: "tab:green", False: "tab:red", None: "tab:grey"}[row.met]
        axes.barh(y, middle - 1, left=1, color=colour, alpha=0.75, height=0.6)
        axes.plot([min(ratios), max(ratios)], [y, y], color="black", linewidth=1)
        axes.annotate(f"{middle:.2f}", (max(*ratios, 1), y), (4, 0), textcoords="offset points", va="center")
        if row.target is not None:
            goal = better(row, row.target)
            axes.plot([goal, goal], [y - 0.4, y + 0.4], color="tab:blue", linewidth=2)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{row.what}: {row.ours.engine} / {row.peer.engine}" for row in shown])
    axes.margins(x=0.1)
    figure.suptitle(title)
    figure.supxlabel("times better than the peer; thin line: least to most of the rounds; blue: the target", size=10)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
