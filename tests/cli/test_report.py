"""What a run writes down, and ``mf report``, which shows it afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mf_core.cli import main
from mf_core.errors import ArgumentTypeError, FileMissingError, IntegrityError
from mf_core.trainer.reporting.loggers import METRICS_FILE, MetricsFile, TensorBoard, read_metrics

from ..support.plugin_environment import PluginEnvironment


def mf(*args: Any, **environment: str) -> tuple[int, str, str]:
    """Run ``mf``, in a new process if it needs other variables; return exit code, standard output and error."""
    if not environment:  # here, as importing the drawing library takes seconds
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            try:
                result = main(list(map(str, args)))
            except SystemExit as ending:
                result = int(ending.code or 0)
        return result, out.getvalue(), err.getvalue()
    code = "import sys; from mf_core.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def write_run(folder: Path, *, floor: float = 2.0, steps: int = 100) -> Path:
    """Write the metrics of a run whose loss falls to ``floor``, evaluated every 50 steps."""
    file = MetricsFile(folder / METRICS_FILE)
    for step in range(10, steps + 1, 10):
        loss = floor + 5 * math.exp(-step / 20)
        speed = 500.0 if step == 10 else 5000.0 + step
        file.log(step, {
            "epoch": step / 50, "loss": loss, "learning_rate": 1e-3 * (1 - step / 200), "grad_norm": 1 + 10 / step,
            "tokens": step * 64, "tokens_per_second": speed, "memory_bytes": 10**8 + (step % 50) * 10**6,
            "seconds": step / 4,
        })  # fmt: skip
        if step % 50 == 0:
            file.log(step, {"epoch": step / 50, "eval_loss": loss + 0.5, "eval_perplexity": math.exp(loss + 0.5)})
    file.close()
    return folder


def steps_of(path: Path) -> list[int]:
    return [record["step"] for record in read_metrics(path)]


# The file of lines --------------------------------------------------------------------------------------------------


def test_each_log_is_a_line_of_json_that_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out" / METRICS_FILE
    file = MetricsFile(path)
    assert not path.parent.exists()
    file.log(20, {"loss": 2.31, "tokens": 12345})
    assert path.read_bytes() == b'{"step": 20, "loss": 2.31, "tokens": 12345}\n'
    file.log(20, {"eval_loss": 2.5})
    assert [json.loads(line) for line in path.read_text().splitlines()] == read_metrics(path)
    file.close()
    file.log(30, {})
    file.close()
    assert read_metrics(path)[1:] == [{"step": 20, "eval_loss": 2.5}, {"step": 30}]


def test_values_of_numpy_and_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    file = MetricsFile(path)
    values = {
        "loss": np.float32(0.5), "tokens": np.int64(7), "grad_norm": math.inf, "learning_rate": math.nan,
        "eval_good": np.bool_(True), "eval_table": np.array([[1, 2], [3, 4]]), "eval_by_name": {"a": np.float64(1.5)},
        "eval_note": "ok",
    }  # fmt: skip
    file.log(np.int32(1), values)  # type: ignore[arg-type]

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "step": 1, "loss": 0.5, "tokens": 7, "grad_norm": None, "learning_rate": None, "eval_good": True,
        "eval_table": [[1, 2], [3, 4]], "eval_by_name": {"a": 1.5}, "eval_note": "ok",
    }  # fmt: skip
    with pytest.raises(ArgumentTypeError, match="eval_what is a object"):
        file.log(2, {"eval_what": object()})
    assert steps_of(path) == [1]


def test_a_killed_process_loses_no_line_that_was_logged(tmp_path: Path) -> None:
    code = """
        import itertools, sys
        from pathlib import Path
        from mf_core.trainer.reporting.loggers import MetricsFile
        file = MetricsFile(Path(sys.argv[1]))
        for step in itertools.count(1):
            file.log(step, {"loss": 1.0})
            print(step, flush=True)
    """
    path = tmp_path / METRICS_FILE
    source = "\n".join(line[8:] for line in code.splitlines())
    with subprocess.Popen([sys.executable, "-c", source, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "200\n":
                process.kill()
                break
    steps = steps_of(path)
    assert len(steps) >= 200
    assert steps == list(range(1, len(steps) + 1))


def killed_within_a_line(path: Path, half: str) -> None:
    """Have a process log three lines and be killed when the fourth is written in part."""
    code = (
        "import os, signal, sys; from pathlib import Path; from mf_core.trainer.reporting.loggers import MetricsFile\n"
        "file = MetricsFile(Path(sys.argv[1]))\n"
        "for step in (10, 20, 30): file.log(step, {'loss': step / 10})\n"
        "os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND), sys.argv[2].encode())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), half], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text().endswith(half)


@pytest.mark.parametrize("half", ['{"step": 40, "loss": 4', '{"step": 40, "no', "{"])
def test_half_a_last_line_is_left_out_and_written_again(tmp_path: Path, half: str) -> None:
    path = tmp_path / METRICS_FILE
    killed_within_a_line(path, half)
    assert steps_of(path) == [10, 20, 30]
    code, out, err = mf("report", tmp_path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["runs"][0]["steps"] == 30
    file = MetricsFile(path)
    file.log(40, {"loss": 4.5})
    file.close()
    assert read_metrics(path)[-1] == {"step": 40, "loss": 4.5}
    assert len(path.read_text().splitlines()) == 4


def test_a_last_line_that_misses_only_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    killed_within_a_line(path, '{"step": 40, "loss": 4.0}')
    assert steps_of(path) == [10, 20, 30, 40]
    MetricsFile(path).log(50, {})
    assert steps_of(path) == [10, 20, 30, 40, 50]


def test_rewind_drops_what_comes_after_and_the_run_continues(tmp_path: Path) -> None:
    path = write_run(tmp_path) / METRICS_FILE
    before = path.read_text().splitlines()
    file = MetricsFile(path)
    file.log(110, {"loss": 0.1})
    file.rewind(50)
    kept = path.read_text().splitlines()
    assert kept == before[:6]  # five log lines and the evaluation at step 50
    file.log(60, {"loss": 1.5})
    file.close()
    assert steps_of(path) == [10, 20, 30, 40, 50, 50, 60]
    assert read_metrics(path)[-1]["loss"] == 1.5
    assert os.listdir(tmp_path) == [METRICS_FILE]


def test_rewind_of_half_a_line_of_everything_and_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    MetricsFile(path).rewind(5)
    assert not path.exists()
    killed_within_a_line(path, '{"step": 40, "lo')
    MetricsFile(path).rewind(30)
    assert path.read_text().endswith('{"step": 30, "loss": 3.0}\n')
    unchanged = path.stat()
    MetricsFile(path).rewind(30)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (unchanged.st_ino, unchanged.st_mtime_ns)
    MetricsFile(path).rewind(0)
    assert path.read_bytes() == b""


def test_rewind_on_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_run(tmp_path) / METRICS_FILE
    before = path.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from mf_core.trainer.reporting.loggers import MetricsFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "MetricsFile(Path(sys.argv[1])).rewind(50)\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert "File too large" in done.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [METRICS_FILE]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 2 is not a line of metrics"),
        ("[1, 2]", "it is not a JSON object"),
        ('{"loss": 2.0}', "its step is None"),
        ('{"step": "x"}', "its step is 'x'"),
        ('{"step": -1}', "its step is -1"),
        ('{"step": 5, "loss": "low"}', "line 2: loss is 'low', not a number"),
        ('{"step": 5, "eval_loss": true}', "line 2: eval_loss is True, not a number"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / METRICS_FILE
    path.write_text(f'{{"step": 1, "loss": 3.0}}\n{line}\n{{"step": 9, "loss": 2.0}}\n')
    with pytest.raises(IntegrityError) as caught:
        read_metrics(path)
    assert words in str(caught.value)
    assert f"{path}, line 2" in str(caught.value)
    code, out, err = mf("report", tmp_path)
    assert (code, out) == (2, "")
    assert f"{path}, line 2" in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == [METRICS_FILE]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=METRICS_FILE):
        read_metrics(tmp_path / METRICS_FILE)


# TensorBoard's event files, read from the format's bytes --------------------------------------------------------------


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """Return a TFRecord's checksum of ``data``."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records_of(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    while data:
        size, size_crc = struct.unpack("<QI", data[:12])
        assert size_crc == masked(data[:8])
        body = data[12 : 12 + size]
        assert struct.unpack("<I", data[12 + size : 16 + size])[0] == masked(body)
        yield body
        data = data[16 + size :]


def fields_of(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protocol buffer."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = varint(at)
            yield key >> 3, message[at : at + size]
        else:
            size, code = (8, "<d") if key & 7 == 1 else (4, "<f")
            yield key >> 3, struct.unpack(code, message[at : at + size])[0]
        at += size


def events_in(folder: Path) -> list[tuple[Any, ...]]:
    """Return ``(step, tag, value)`` of each scalar and ``(step, "START")`` of each restart, the files in order."""
    found: list[tuple[Any, ...]] = []
    for file in sorted(folder.iterdir()):
        assert "tfevents" in file.name
        first, *events = (dict(fields_of(record)) for record in records_of(file))
        assert first[3] == b"brain.Event:2"
        for event in events:
            assert abs(event[1] - time.time()) < 600
            if 7 in event:
                assert dict(fields_of(event[7])) == {1: 1}  # SessionLog.START
                found.append((event.get(2, 0), "START"))
            for number, value in fields_of(event.get(5, b"")):
                assert number == 1
                scalar = dict(fields_of(value))
                found.append((event.get(2, 0), scalar[1].decode(), scalar.get(2, 0.0)))
    return found


def test_events_say_what_was_logged(tmp_path: Path) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the reader's own check
    board = TensorBoard(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
    board.log(20, {"loss": 2.5, "learning_rate": np.float32(0.25), "note": "text", "eval": 1, "done": True})
    board.log(20, {"eval_loss": 3.5, "eval_tokens": np.int64(640)})
    board.log(30, {"loss": 2.0})
    board.close()
    board.close()
    assert events_in(tmp_path / "logs") == [
        (20, "train/loss", 2.5), (20, "train/learning_rate", 0.25), (20, "train/eval", 1.0),
        (20, "eval/loss", 3.5), (20, "eval/tokens", 640.0), (30, "train/loss", 2.0),
    ]  # fmt: skip


def test_events_of_numbers_that_are_not_finite(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.log(1, {"loss": math.nan, "grad_norm": math.inf})
    board.close()
    (_, _, loss), (_, _, norm) = events_in(tmp_path)
    assert math.isnan(loss)
    assert norm == math.inf


def test_a_resumed_run_adds_a_file_and_overwrites_none(tmp_path: Path) -> None:
    for step in (10, 20):
        board = TensorBoard(tmp_path)
        if step > 10:
            board.rewind(15)
        board.log(step, {"loss": 1.0})
        board.close()
        board.log(step + 1, {"loss": 1.0})
        board.close()
    loss = ("train/loss", 1.0)
    assert events_in(tmp_path) == [(10, *loss), (11, *loss), (16, "START"), (20, *loss), (21, *loss)]
    assert len(list(tmp_path.iterdir())) == 4


def test_restart_is_understood_by_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first, value in ((1, 1.0), (3, 2.0)):
        board = TensorBoard(tmp_path)
        board.rewind(first - 1)
        for step in range(first, 6):
            board.log(step, {"loss": value})
        board.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [
        (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0),
    ]  # fmt: skip


# mf report ----------------------------------------------------------------------------------------------------------


def pixels(path: Path) -> np.ndarray:
    """Return a picture as ``(H, W, 3)`` uint8."""
    from PIL import Image

    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def amount(image: np.ndarray, colour: tuple[int, int, int], rows: slice = slice(None)) -> int:
    """Return how many pixels of some rows have a colour."""
    return int((np.abs(image[rows].astype(int) - colour) <= 3).all(axis=-1).sum())


BLUE, ORANGE = (31, 119, 180), (255, 127, 14)
TOP, BOTTOM = slice(60, 520), slice(560, 900)


def test_report_of_a_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    code, out, err = mf("report", run)
    assert (code, err) == (0, "")
    header, row, where = out.splitlines()
    assert header.split("  ")[0] == "RUN"
    assert row.split() == [
        "first", "100", "5.0327", "2.0337", "2.0337", "at", "100", "2.5337", "at", "100",
        "5,055", "0.14", "GB", "0:00:25",
    ]  # fmt: skip
    assert where == f"the curves are in {run / 'report.png'}"
    assert sorted(os.listdir(run)) == [METRICS_FILE, "report.png"]
    image = pixels(run / "report.png")
    assert image.shape == (900, 1200, 3)
    assert amount(image, BLUE, TOP) > 500
    assert amount(image, BLUE, BOTTOM) > 300
    assert amount(image, ORANGE) == 0
    assert amount(image, (255, 255, 255)) > image.shape[0] * image.shape[1] // 2


def test_the_picture_follows_the_numbers(tmp_path: Path) -> None:
    """A loss that falls is drawn high on the left and low on the right; one that rises, the other way round."""
    for name, sign in (("falls", -1), ("rises", 1)):
        file = MetricsFile(tmp_path / name / METRICS_FILE)
        for step in range(1, 101):
            file.log(step, {"loss": 3 + sign * step / 100})
        assert mf("report", tmp_path / name)[0] == 0
        image = pixels(tmp_path / name / "report.png")
        blue = (np.abs(image[60:].astype(int) - BLUE) <= 3).all(axis=-1)
        left, right = (np.flatnonzero(blue[:, part].any(axis=1)).mean() for part in (slice(0, 400), slice(800, 1200)))
        assert (right - left) * -sign > 200


def test_summary_as_json(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    code, out, err = mf("report", run, "--json", "--output", tmp_path / "sub" / "a.png")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["picture"] == str(tmp_path / "sub" / "a.png")
    (summary,) = data["runs"]
    assert summary == {
        "run": "first", "steps": 100, "epochs": 2.0, "tokens": 6400, "seconds": 25.0,
        "first_loss": pytest.approx(2 + 5 * math.exp(-0.5)), "last_loss": pytest.approx(2 + 5 * math.exp(-5)),
        "best_loss": pytest.approx(2 + 5 * math.exp(-5)), "best_loss_step": 100,
        "best_eval_loss": pytest.approx(2.5 + 5 * math.exp(-5)), "best_eval_step": 100,
        "best_eval_perplexity": pytest.approx(math.exp(2.5 + 5 * math.exp(-5))),
        "median_tokens_per_second": 5055.0, "peak_memory_bytes": 140_000_000,
    }  # fmt: skip
    assert pixels(tmp_path / "sub" / "a.png").shape == (900, 1200, 3)
    assert os.listdir(run) == [METRICS_FILE]


def test_best_and_last_where_the_loss_rises_again_and_is_nan(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / METRICS_FILE)
    for step, loss in ((1, 3.0), (2, 1.0), (3, math.nan), (4, 2.0), (5, math.nan)):
        file.log(step, {"loss": loss})
    file.log(5, {"eval_accuracy": 0.5})
    (summary,) = json.loads(mf("report", tmp_path, "--json")[1])["runs"]
    found = {name: summary[name] for name in ("steps", "first_loss", "last_loss", "best_loss", "best_loss_step")}
    assert found == {"steps": 5, "first_loss": 3.0, "last_loss": 2.0, "best_loss": 1.0, "best_loss_step": 2}
    assert summary["best_eval_loss"] is summary["seconds"] is summary["median_tokens_per_second"] is None


def test_a_step_that_stands_twice_counts_as_written_last(tmp_path: Path) -> None:
    lines = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 1.0}, {"step": 2, "loss": 4.0}]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (summary,) = json.loads(mf("report", tmp_path, "--json")[1])["runs"]
    assert (summary["last_loss"], summary["best_loss"]) == (4.0, 4.0)


def test_several_runs_in_one_picture(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "first"), write_run(tmp_path / "second", floor=4.0, steps=50)
    code, out, err = mf("report", first, second)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["RUN", "first", "second", "the"]
    assert os.listdir(second) == [METRICS_FILE]
    image = pixels(first / "report.png")
    assert amount(image, BLUE, TOP) > 500
    assert amount(image, ORANGE, TOP) > 200
    legend = slice(0, 40)
    assert min(amount(image, colour, legend) for colour in (BLUE, ORANGE)) > 50
    alone = mf("report", first, "--output", tmp_path / "alone.png")
    assert alone[0] == 0
    assert amount(pixels(tmp_path / "alone.png"), ORANGE) == 0


def test_runs_of_one_name_are_distinguished(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name / "out") for name in ("a", "b")]
    code, out, _ = mf("report", *runs, "--json", "--output", tmp_path / "c.png")
    assert code == 0
    assert [summary["run"] for summary in json.loads(out)["runs"]] == list(map(str, runs))
    code, _, err = mf("report", runs[0], f"{runs[0]}/")
    assert code == 2
    assert "a run is given twice" in err


@pytest.mark.parametrize("name", ["_hidden", "cost_$5^$", "with space", "x^2 {y"])
def test_names_that_mean_something_to_the_drawing_library(tmp_path: Path, name: str) -> None:
    pictures = []
    for folder in (name, "plain"):
        code, _, err = mf("report", write_run(tmp_path / folder))
        assert (code, err) == (0, "")
        pictures.append(pixels(tmp_path / folder / "report.png"))
    assert amount(pictures[0], BLUE, slice(0, 40)) > 50
    assert (pictures[0][:40] != pictures[1][:40]).any()


def test_many_runs_and_one_line_are_drawn(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "short" / METRICS_FILE)
    file.log(5, {"loss": 3.0})
    assert mf("report", tmp_path / "short")[0] == 0
    assert amount(pixels(tmp_path / "short" / "report.png"), BLUE, slice(60, 900)) > 10
    runs = [write_run(tmp_path / f"run{number}", floor=number) for number in range(12)]
    code, _, err = mf("report", *runs)
    assert (code, err) == (0, "")
    assert pixels(runs[0] / "report.png").shape == (900, 1200, 3)


@pytest.mark.parametrize(
    ("make", "args", "words"),
    [
        (lambda run: None, ["run"], ["MF301", "there is no run 'run'", "output_dir"]),
        (lambda run: run.write_text("x"), ["run"], ["MF301", "not a directory"]),
        (lambda run: run.mkdir(), ["run"], ["MF301", "run has no metrics.jsonl"]),
        (lambda run: (run.mkdir(), (run / METRICS_FILE).touch()), ["run"], ["MF501", "metrics.jsonl is empty"]),
        (lambda run: MetricsFile(run / METRICS_FILE).log(1, {"tokens": 3}), ["run"], ["MF501", "nothing to draw"]),
        (write_run, ["run", "--output", "a.jpg"], ["MF202", "'a.jpg' does not end in .png"]),
        (write_run, ["run", "--output", "run/metrics.jsonl/a.png"], ["MF202", "cannot be written", "--output"]),
        (write_run, ["run", "gone"], ["MF301", "there is no run 'gone'"]),
    ],
)
def test_mistakes_are_reported_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any], args: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("run"))
    before = sorted(tmp_path.rglob("*"))
    code, out, err = mf("report", *args)
    assert (code, out) == (2, "")
    assert err.startswith("mf: [MF")
    for word in words:
        assert word in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


# What it costs and touches ------------------------------------------------------------------------------------------


def test_help_imports_neither_the_drawing_library_nor_numpy() -> None:
    code = (
        "import sys\nfrom mf_core.cli import main\nimport mf_core.trainer.reporting.loggers\n"
        "try:\n    main(['report', '--help'])\nexcept SystemExit:\n    pass\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'matplotlib', 'tensorboardX', 'numpy', 'mindspore'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "draw a training run's curves" in done.stdout


@pytest.fixture
def bare(environment: Callable[..., PluginEnvironment]) -> PluginEnvironment:
    """An environment with the core alone."""
    return environment()


def test_without_the_packages_the_line_that_installs_them_is_given(bare: PluginEnvironment, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    result = bare.mf("report", str(run))
    assert result.code == 2
    assert "[MF106] matplotlib cannot be imported" in result.stderr
    assert 'pip install "mf-framework[report]"' in result.stderr
    assert os.listdir(run) == [METRICS_FILE]
    code = """
        from pathlib import Path
        from mf_core.errors import NotInstalledError
        from mf_core.trainer.reporting.loggers import TensorBoard
        try:
            TensorBoard(Path("logs"))
        except NotInstalledError as error:
            print(error)
    """
    result = bare.run(code)
    assert "[MF106] tensorboardX cannot be imported" in result.stdout
    assert 'pip install "mf-framework[report]"' in result.stdout
    assert not (bare.home / "logs").exists()


def test_nothing_is_written_beside_the_picture_and_the_cache(bare: PluginEnvironment, tmp_path: Path) -> None:
    bare.borrow("matplotlib")
    run, cache = write_run(tmp_path / "run"), tmp_path / "cache"
    code = """
        import os, sys
        from mf_core.cli import main
        before = dict(os.environ)
        code = main(["report", sys.argv[1]])
        assert dict(os.environ) == before
        assert "matplotlib.pyplot" not in sys.modules
        sys.exit(code)
    """.replace("sys.argv[1]", repr(str(run)))
    result = bare.run(code, MF_CACHE=str(cache))
    assert (result.code, result.stderr) == (0, "")
    assert list(bare.home.iterdir()) == []
    assert sorted(os.listdir(run)) == [METRICS_FILE, "report.png"]
    assert sorted(os.listdir(tmp_path)) == ["cache", "environment", "run"]
