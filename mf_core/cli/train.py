"""``mf train``: a training run from a file, or from settings alone."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any

from ..errors import ArgumentError, check_options, printable
from ..utils.files import read_config_file
from ..utils.paths import user_path
from .mindformers_run import is_mindformers_run, translate
from .settings import add_set_option, put_settings

#: What a run file may hold beside the fields of TrainingArguments: arguments of the trainer.
_TRAINER = ("task", "model", "model_name", "train_dataset", "eval_dataset", "tokenizer", "pet_method", "save_config")


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    train = commands.add_parser(
        "train",
        help="train a model",
        description="Trains a model. A run file (YAML or JSON) holds arguments of mf_core.Trainer (model, "
        "train_dataset, …) and fields of mf_core.TrainingArguments side by side; run.yaml of an earlier run is one. "
        "So is a run file of MindFormers: settings without a counterpart are named in a warning. "
        "A mapping 'parallel' holds what Trainer.set_parallel_config takes, for `mf launch mf train …`.",
    )
    train.add_argument("--config", metavar="FILE", help="the run file")
    add_set_option(
        train, "set one of them; may be repeated, and wins over the file. A name with dots goes into a mapping."
    )
    train.add_argument("--resume", action="store_true", help="continue from the last checkpoint in output_dir")
    train.set_defaults(run=run_train)


def _read(file: str) -> dict[str, Any]:
    """Return a run file's settings; those of a file of MindFormers in our terms, with a warning of what is left out."""
    run = read_config_file(user_path(file))
    if not is_mindformers_run(run):
        return run
    run, left = translate(run)
    if left:
        names = printable(", ".join(left), 1500)
        what = f"{len(left)} settings of {printable(file)} have no counterpart here and are left out"
        warnings.warn(f"{what}: {names}", stacklevel=2)
    return run


def run_train(options: argparse.Namespace) -> int:
    """Train, and print the result."""
    from ..trainer import TrainingArguments

    run: dict[str, Any] = {}
    if options.config:
        if not user_path(options.config).is_file():
            raise ArgumentError(f"there is no run file {options.config!r}", value=options.config)
        run = _read(options.config)
    put_settings(run, options.settings)
    if not run:
        raise ArgumentError("nothing is said about the run", hint="mf train --config run.yaml")
    known = [*_TRAINER, "parallel", *TrainingArguments.model_fields, *TrainingArguments.aliases]
    check_options(run, known, "a run", "setting")
    mine = {name: run.pop(name) for name in _TRAINER if name in run}
    parallel = run.pop("parallel", None)
    args = TrainingArguments(**run)
    if "model" not in mine:
        raise ArgumentError("the run names no model", hint="--set model=gpt2_tiny")
    from ..context import init_context, is_clustered
    from ..trainer import Trainer

    rank, _ = init_context(use_parallel=True) if is_clustered() else (0, 1)
    mine.setdefault("task", "text_generation")
    trainer = Trainer(args, **mine)
    if parallel:
        trainer.set_parallel_config(**parallel)
    result = trainer.train(resume_training=True if options.resume else None)
    if rank:
        return 0
    print(
        f"{result.steps} steps, {result.tokens:,} tokens, loss {result.loss:.4f}, {result.seconds:.0f} s; "
        f"the model is in {args.output_dir}"
    )
    for name, value in result.metrics.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    sys.stdout.flush()
    return 0
