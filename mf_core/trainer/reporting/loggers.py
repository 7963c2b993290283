"""Writing a run's numbers down: one JSON object a line, and TensorBoard's event files; reading the former back."""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ...errors import ArgumentTypeError, FileMissingError, IntegrityError, NotInstalledError, describe
from ...utils.files import atomic_path
from ...utils.paths import user_path
from ..callbacks import Callback

if TYPE_CHECKING:
    from ..arguments import TrainingArguments
    from ..state import TrainerControl, TrainerState

#: A run's numbers, in its output directory.
METRICS_FILE = "metrics.jsonl"

#: What is a number wherever it stands in a line; null stands for one that is not finite.
_NUMBERS = (
    "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "flops_utilization", "memory_bytes",
    "seconds", "eval_loss", "eval_perplexity", "eval_tokens",
)  # fmt: skip


class MetricsFile:
    """Appends to a file of one JSON object a line; each line is on its way to the disk when :meth:`log` returns.

    The file is opened by the first :meth:`log`. What a killed process left of a last line is dropped then.

    Args:
        path: The file, ``metrics.jsonl`` of a run's output directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append ``values``, any of JSON's and numpy's, under ``step``; NaN and infinities are written as null.

        Raises:
            ArgumentTypeError: A value is of another type.
        """
        line = json.dumps({"step": int(step), **{name: _plain(name, value) for name, value in values.items()}})
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _repair(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(line + "\n")
        self._file.flush()

    def rewind(self, step: int) -> None:
        """Drop the lines after ``step``: a run that is resumed there writes them again.

        Raises:
            IntegrityError: A line, other than an unfinished last one, is not a run's.
        """
        self.close()
        if not self.path.exists():
            return
        kept = b"".join(line + b"\n" for _, line, record in _lines(self.path) if record["step"] <= step)
        if kept != self.path.read_bytes():
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(kept)

    def close(self) -> None:
        """Close the file; a later :meth:`log` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class TensorBoard:
    """Writes numbers as TensorBoard's scalars: ``loss`` as ``train/loss``, ``eval_loss`` as ``eval/loss``.

    The first :meth:`log` makes an event file; it is brought up to date every ten seconds, and by :meth:`close`.

    Args:
        directory: Where the event files go, beside those of earlier runs.

    Raises:
        NotInstalledError: The package tensorboardX is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._package = import_extra("tensorboardX")
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write those of ``values`` that are numbers; NaN and infinities stay what they are."""
        for name, value in values.items():
            if isinstance(value, Real) and not isinstance(value, bool):
                kind, _, rest = name.partition("_")
                tag = f"eval/{rest}" if kind == "eval" and rest else f"train/{name}"
                self._open().add_scalar(tag, float(value), int(step))

    def rewind(self, step: int) -> None:
        """Have TensorBoard hide what earlier event files hold after ``step``; nothing is deleted."""
        events = importlib.import_module("tensorboardX.proto.event_pb2")
        start = events.SessionLog(status=events.SessionLog.START)
        self._open().file_writer.add_event(events.Event(session_log=start), step=step + 1)

    def close(self) -> None:
        """Write what is left and close the event file; a later :meth:`log` makes another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            # The package names files by the second, and would overwrite one that is made within the same.
            self._writer = self._package.SummaryWriter(
                str(self.directory), flush_secs=10, filename_suffix=f".{time.time_ns()}"
            )
        return self._writer


class MetricsRecorder(Callback):
    """Writes log lines and evaluations to ``metrics.jsonl``, and to TensorBoard's files where ``report_to`` asks.

    Args:
        directory: The run's output directory.
        args: ``report_to``, ``logging_dir``.
    """

    def __init__(self, directory: Path, args: TrainingArguments) -> None:
        self._writers: list[Any] = [MetricsFile(directory / METRICS_FILE)]
        if args.report_to == "tensorboard":
            self._writers.append(TensorBoard(user_path(args.logging_dir) if args.logging_dir else directory / "logs"))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop lines of an earlier run, or of steps lost before a resume, beyond this step."""
        for writer in self._writers:
            writer.rewind(state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write a log line."""
        values = {name: value for name, value in kwargs["logs"].items() if name != "seconds_left"}
        self._write(state.global_step, values)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write an evaluation."""
        values = {f"eval_{name}": value for name, value in kwargs["metrics"].items()}
        self._write(state.global_step, {"epoch": state.epoch, **values})

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers:
            writer.close()

    def _write(self, step: int, values: dict[str, Any]) -> None:
        for writer in self._writers:
            writer.log(step, values)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``metrics.jsonl``, in their order; an unfinished last line is left out.

    Every line has a ``step``, and what a run calls by the names of numbers (``loss``, ``eval_loss``, …) is one or None.

    Raises:
        FileMissingError: There is no such file.
        IntegrityError: A line is not a run's; the error gives its number.
    """
    if not path.is_file():
        raise FileMissingError(f"there is no file {path}", value=str(path))
    records = []
    for number, _, record in _lines(path):
        for name in _NUMBERS:
            value = record.get(name)
            if value is not None and not _is_number(value):
                raise IntegrityError(f"{path}, line {number}: {name} is {value!r}, not a number", value=value)
        records.append(record)
    return records


def import_extra(module: str) -> Any:
    """Import and return a module of the extra ``report``.

    Raises:
        NotInstalledError: It cannot be imported; the error gives the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise NotInstalledError(
            f"{package} cannot be imported", value=package, why=describe(error),
            hint='pip install "mf-framework[report]"',
        ) from error  # fmt: skip


def _lines(path: Path) -> list[tuple[int, bytes, dict[str, Any]]]:
    """Return number, bytes and contents of each line; of the last only when it is whole."""
    *ended, last = path.read_bytes().split(b"\n")
    lines = []
    for number, line in enumerate(ended, 1):
        if line.strip():
            record = _parsed(line)
            if record is None or not _is_step(record.get("step")):
                why = "it is not a JSON object" if record is None else f"its step is {record.get('step')!r}"
                raise IntegrityError(
                    f"{path}, line {number} is not a line of metrics", value=line[:100], why=why,
                    hint="delete that line; the others stay as they are",
                )  # fmt: skip
            lines.append((number, line, record))
    record = _parsed(last)
    if record is not None and _is_step(record.get("step")):
        lines.append((len(ended) + 1, last, record))
    return lines


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _repair(path: Path) -> None:
    """Let the file end with a whole line."""
    if not path.exists():
        return
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end == len(data):
        return
    with path.open("r+b") as file:
        if _parsed(data[end:]) is None:
            file.truncate(end)
        else:  # an object that is closed is whole: only its line's end is missing
            file.seek(0, 2)
            file.write(b"\n")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _plain(name: str, value: Any) -> Any:
    """Return ``value`` as JSON knows it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if hasattr(value, "tolist"):  # numpy's arrays, and its bool
        return _plain(name, value.tolist())
    raise ArgumentTypeError(
        f"{name} is a {type(value).__name__}, which cannot be written down", value=value, hint="give a number"
    )
