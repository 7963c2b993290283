"""``mf report``: the curves and the main numbers of training runs."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DataError, FileMissingError
from ..trainer.reporting.loggers import METRICS_FILE, import_extra, read_metrics
from ..utils.files import atomic_path
from ..utils.paths import user_path
from .table import print_json, print_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The picture, in a run's output directory.
REPORT_FILE = "report.png"

#: What is drawn under the loss: key -> label of its axis.
_PANELS = {
    "learning_rate": "learning rate",
    "tokens_per_second": "speed (tokens per second)",
    "grad_norm": "gradient norm",
}
_GREY = "0.35"
_LINE: dict[str, Any] = {"linewidth": 1.6}
_EVALUATION: dict[str, Any] = {
    "linewidth": 1.6, "linestyle": "--", "marker": "o", "markersize": 5, "markerfacecolor": "white"
}  # fmt: skip

Records = Sequence[Mapping[str, Any]]


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report",
        help="draw a training run's curves and sum it up",
        description="Draws loss, learning rate, speed and gradient norm over the steps into a PNG of 1200x900, several "
        "runs into one picture, and prints a summary.",
    )
    report.add_argument("runs", nargs="+", metavar="RUN", help=f"output directory of a run, with its {METRICS_FILE}")
    report.add_argument(
        "--output", metavar="FILE.png", help=f"where the picture goes (default: {REPORT_FILE} in the first RUN)"
    )
    report.add_argument("--json", action="store_true", help="print the summary as JSON")
    report.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> int:
    """Draw the picture and print the summary."""
    output = user_path(options.output) if options.output is not None else user_path(options.runs[0]) / REPORT_FILE
    if output.suffix.lower() != ".png":
        raise ArgumentError(f"the picture is a PNG, and {str(output)!r} does not end in .png", value=str(output))
    runs = {label: load(user_path(run)) for label, run in zip(_labels(options.runs), options.runs, strict=True)}
    figure = draw(runs)
    _save(figure, output)
    summaries = [{"run": label, **summarize(records)} for label, records in runs.items()]
    if options.json:
        print_json({"runs": summaries, "picture": str(output)})
    else:
        print_table(_HEADER, [_row(summary) for summary in summaries])
        print(f"the curves are in {output}")
    return 0


def load(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.

    Raises:
        FileMissingError: There is no such directory, or no metrics in it.
        DataError: The metrics are empty.
        IntegrityError: A line is broken.
    """
    if not run.is_dir():
        raise FileMissingError(
            f"there is no run {str(run)!r}", value=str(run),
            why="it is not a directory" if run.exists() else None, hint="give the output_dir of a training run",
        )  # fmt: skip
    path = run / METRICS_FILE
    if not path.exists():
        raise FileMissingError(
            f"{run} has no {METRICS_FILE}", value=str(run), hint="give the output_dir of a training run, which has one"
        )
    records = read_metrics(path)
    if not records:
        raise DataError(
            f"{path} is empty", value=str(path), why="the run ended before its first log line",
            hint="train for logging_steps steps or more",
        )  # fmt: skip
    return records


def summarize(records: Records) -> dict[str, Any]:
    """Return a run's main numbers; None where the run did not write them.

    ``steps``, ``epochs``, ``tokens``, ``seconds`` are those at its end; ``first_loss``, ``last_loss``; ``best_loss``
    and ``best_eval_loss``, the lowest, with ``best_loss_step`` and ``best_eval_step``, and the
    ``best_eval_perplexity`` of that step; ``median_tokens_per_second``; ``peak_memory_bytes``.
    """
    from statistics import median

    curves = {
        name: {step: value for step, value in curve(records, name).items() if not math.isnan(value)}
        for name in ("epoch", "tokens", "seconds", "loss", "eval_loss", "eval_perplexity", "tokens_per_second",
                     "memory_bytes")
    }  # fmt: skip
    ends = {name: list(points.values()) for name, points in curves.items()}
    loss, evaluation = curves["loss"], curves["eval_loss"]
    best = min(loss, key=loss.__getitem__, default=None)
    best_eval = min(evaluation, key=evaluation.__getitem__, default=None)
    speeds = ends["tokens_per_second"]
    return {
        "steps": max(record["step"] for record in records),
        "epochs": max(ends["epoch"], default=None),
        "tokens": max(ends["tokens"], default=None),
        "first_loss": next(iter(ends["loss"]), None),
        "last_loss": ends["loss"][-1] if loss else None,
        "best_loss": loss[best] if best is not None else None,
        "best_loss_step": best,
        "best_eval_loss": evaluation[best_eval] if best_eval is not None else None,
        "best_eval_perplexity": curves["eval_perplexity"].get(best_eval) if best_eval is not None else None,
        "best_eval_step": best_eval,
        "median_tokens_per_second": median(speeds) if speeds else None,
        "peak_memory_bytes": max(ends["memory_bytes"], default=None),
        "seconds": max(ends["seconds"], default=None),
    }


def curve(records: Records, name: str) -> dict[int, float]:
    """Return step -> value, in the order of the steps; NaN where it was not finite, the later of two of one step."""
    points = {record["step"]: record[name] for record in records if name in record}
    finite = {step: value is not None and math.isfinite(value) for step, value in points.items()}
    return {step: points[step] if finite[step] else math.nan for step in sorted(points)}


# The picture --------------------------------------------------------------------------------------------------------


def draw(runs: Mapping[str, Records]) -> Figure:
    """Return a figure of 1200x900 with the runs' curves: the losses, and under them what else there is.

    Args:
        runs: What each run is called -> its lines.

    Raises:
        DataError: The runs have nothing that is drawn.
        NotInstalledError: matplotlib is not installed.
    """
    with _fonts_in_the_cache():
        import_extra("matplotlib.figure")
        import_extra("matplotlib.backends.backend_agg")
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    losses = any(_drawable(records, name) for records in runs.values() for name in ("loss", "eval_loss"))
    below = [name for name in _PANELS if any(_drawable(records, name) for records in runs.values())]
    if not losses and not below:
        why = f"no line has any of loss, eval_loss, {', '.join(_PANELS)}"
        raise DataError("there is nothing to draw", value=list(runs), why=why)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(12, 9), dpi=100, layout=layout, facecolor="white")
    rows: Any = [["loss"] * max(len(below), 1)] * losses + [below] * bool(below)
    axes = figure.subplot_mosaic(rows, height_ratios=[3, 2][: len(rows)])
    colours = _colours(len(runs))
    for name, axis in axes.items():
        _style_axis(axis, _PANELS.get(name, "loss (nats)"))
        for colour, records in zip(colours, runs.values(), strict=True):
            _plot(axis, curve(records, name), color=colour, **_LINE)
            if name == "loss":
                _plot(axis, curve(records, "eval_loss"), color=colour, **_EVALUATION)
        _scale(axis, name)
    _legend(figure, runs, colours)
    return figure


def _drawable(records: Records, name: str) -> bool:
    return any(not math.isnan(value) for value in curve(records, name).values())


def _plot(axis: Axes, points: Mapping[int, float], **style: Any) -> None:
    if len(points) == 1:  # a line of one point cannot be seen
        style.setdefault("marker", "o")
    if points:
        axis.plot(list(points), list(points.values()), **style)


def _style_axis(axis: Axes, label: str) -> None:
    axis.set_xlabel("step", fontsize=12)
    axis.set_ylabel(label, fontsize=12)
    axis.tick_params(labelsize=11)
    axis.grid(color="0.9")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _scale(axis: Axes, name: str) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    bins = 11 if name == "loss" else 5
    axis.xaxis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if name == "tokens_per_second":
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    if name == "learning_rate":
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    if name != "loss":
        axis.set_ylim(bottom=0)


def _legend(figure: Figure, runs: Mapping[str, Records], colours: Sequence[Any]) -> None:
    """Add the legend: a colour per run, a line style each for training and evaluation."""
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=colour, linewidth=4, label=_text(label))
               for colour, label in zip(colours, runs, strict=True)]  # fmt: skip
    if any(_drawable(records, "eval_loss") for records in runs.values()):
        entries.append(Line2D([], [], color=_GREY, label="training", **_LINE))
        entries.append(Line2D([], [], color=_GREY, label="evaluation", **_EVALUATION))
    columns = min(len(entries), 5)
    figure.legend(handles=entries, loc="outside upper center", ncols=columns, fontsize=12, frameon=False)


def _colours(count: int) -> list[Any]:
    """Return a distinct colour for each run."""
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](index) for index in range(count)]
    return [colormaps["turbo"](index / (count - 1)) for index in range(count)]


def _text(label: str) -> str:
    """Return a label that matplotlib shows as it is: dollars are formulas there, and a first underscore hides it."""
    return (" " if label.startswith("_") else "") + label.replace("$", r"\$")


@contextmanager
def _fonts_in_the_cache() -> Iterator[None]:
    """Have matplotlib, when it is imported in the block, keep its list of fonts in the cache, not in the home."""
    from ..hub import cache_dir

    own = "MPLCONFIGDIR" not in os.environ
    if own:
        os.environ["MPLCONFIGDIR"] = str(cache_dir() / "matplotlib")
    try:
        yield
    finally:
        if own:
            os.environ.pop("MPLCONFIGDIR", None)


def _save(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    try:
        with atomic_path(path) as temporary:
            canvas.print_png(temporary)
    except OSError as error:
        raise ArgumentError(
            f"the picture {path} cannot be written", value=str(path), why=error.strerror, hint="--output FILE.png"
        ) from error


# The summary, for people --------------------------------------------------------------------------------------------

_HEADER = ("RUN", "STEPS", "FIRST LOSS", "LAST LOSS", "BEST LOSS", "BEST EVALUATION", "TOKENS/S", "MEMORY", "TIME")


def _labels(runs: Sequence[str]) -> list[str]:
    """Return a name for each run: its directory's name, or, where two share one, the paths as given."""
    names = [user_path(run).resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    if len({user_path(run).resolve() for run in runs}) < len(runs):
        raise ArgumentError(f"a run is given twice: {' '.join(runs)}", value=list(runs))
    return list(runs)


def _row(summary: Mapping[str, Any]) -> list[str]:
    def number(name: str, form: str, step: str | None = None) -> str:
        value = summary[name]
        if value is None:
            return "-"
        return form.format(value) + (f" at {summary[step]:,}" if step else "")

    seconds = summary["seconds"]
    return [
        summary["run"],
        number("steps", "{:,}"),
        number("first_loss", "{:.4f}"),
        number("last_loss", "{:.4f}"),
        number("best_loss", "{:.4f}", "best_loss_step"),
        number("best_eval_loss", "{:.4f}", "best_eval_step"),
        number("median_tokens_per_second", "{:,.0f}"),
        "-" if summary["peak_memory_bytes"] is None else f"{summary['peak_memory_bytes'] / 1e9:.2f} GB",
        "-" if seconds is None else str(timedelta(seconds=round(seconds))),
    ]
