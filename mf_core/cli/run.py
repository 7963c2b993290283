"""``mf run``: a task's pipeline on inputs."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import Any

from ..errors import ArgumentError
from .table import print_json


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    run = commands.add_parser("run", help="run a task on inputs")
    run.add_argument("task", metavar="TASK", help="such as text_classification; `-` for `_` is the same")
    run.add_argument(
        "input", nargs="+", metavar="INPUT",
        help="a text, the path of a picture, or a JSON object such as {\"question\": …, \"context\": …}; - reads lines "
        "of standard input",
    )  # fmt: skip
    run.add_argument("--model", help="preset, directory or owner/name (default: the task's)")
    run.add_argument("--tokenizer", help="preset, directory or owner/name (default: the model's)")
    run.add_argument("--revision", help="branch, tag or commit of a hub repository")
    run.add_argument("--backend", help="device backend, such as cpu")
    run.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the task, such as top_k=3"
    )
    run.add_argument("--output", metavar="FOLDER", help="where pictures that the task makes are written")
    run.add_argument("--json", action="store_true", help="one JSON list, with a result for each input")
    run.set_defaults(run=run_task)


def run_task(options: argparse.Namespace) -> int:
    """Print a result for each input."""
    logging.getLogger("mf_core").setLevel(logging.ERROR)
    from ..pipelines import pipeline
    from ..testing.contracts.compare import plain

    inputs = [item for text in options.input for item in (_lines() if text == "-" else [text])]
    chosen = dict(map(_option, options.option))
    pipe = pipeline(
        options.task, options.model, options.tokenizer, device_target=options.backend, revision=options.revision,
        **chosen,
    )  # fmt: skip
    results = plain(_written(pipe([_read(text) for text in inputs]), options.output))
    if options.json:
        print_json(results)
        return 0
    for text, result in zip(inputs, results, strict=True):
        if len(inputs) > 1:
            print(text)
        for each in result if isinstance(result, list) and result and not isinstance(result[0], float) else [result]:
            print("  " + _line(each))
    return 0


def _written(results: Any, folder: str | None) -> Any:
    """Return results with the path of a file, in a folder, in place of each picture."""
    from ..utils.paths import user_path

    count = 0

    def written(value: Any) -> Any:
        nonlocal count
        if isinstance(value, dict):
            return {name: written(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [written(item) for item in value]
        if type(value).__module__.partition(".")[0] != "PIL":
            return value
        if folder is None:
            raise ArgumentError("the task makes pictures, and there is no folder for them", hint="--output FOLDER")
        user_path(folder).mkdir(parents=True, exist_ok=True)
        path, count = user_path(folder) / f"{count}.png", count + 1
        value.save(path)
        return str(path)

    return written(results)


def _lines() -> list[str]:
    return [line for line in sys.stdin.read().splitlines() if line]


def _read(text: str) -> Any:
    """Return an input: what a JSON object says, or else the text."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"{text!r:.60} is not JSON", value=text, why=str(error)) from error


def _option(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``NAME=VALUE``; a value is JSON or, where it is not, a text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentError(f"--option {text!r} is not NAME=VALUE", value=text, hint="--option top_k=3")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def _line(result: Any) -> str:
    """Return a result as a line for people."""
    if not isinstance(result, dict):
        return json.dumps(result, ensure_ascii=False)
    return "  ".join(f"{name}={value:.4f}" if isinstance(value, float) else f"{name}={value}"
                     for name, value in result.items())  # fmt: skip
