"""Measure the project's speed beside its peers', and what the machine allows, in one run: a table, JSON and a picture.

    python benchmarks/run.py [--quick] [--only decode prefill …] [--rounds 5] [--output FOLDER]

All engines of a benchmark take turns in rounds (A B C A B C …), each in a separate process with as many threads as
there are cores; a ratio is of two figures of one round. Printed are medians, with least and most. How idle the machine
was before each round, and what other processes used meanwhile, is reported below the table: ratios of a noisy run are
worth little. --quick takes few rounds of a smaller model, to see that all runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import beams
import decode
import listing
import machine
import quality
import sampling
import smollm2
import speculation
import start
import table
import train
from session import QUICK, Session, Settings

#: Name -> what measures it; those of decode.py share their engines, and are measured together.
BENCHMARKS = {
    "decode": decode.measure,
    "batch": decode.measure,
    "prefill": decode.measure,
    "train": lambda session: train.measure(session, "small"),
    "train-124m": lambda session: train.measure(session, "124m"),
    "first": start.measure_first,
    "load": start.measure_load,
    "speculation": speculation.measure,
    "beams": beams.measure,
    "quality": quality.measure,
    "listing": listing.measure,
    "sampling": sampling.measure,
    "smollm2": smollm2.measure,
    "smollm2-start": smollm2.measure_start,
}
#: Measured when they are named alone.
ASKED = ("train-124m", "sampling", "smollm2", "smollm2-start")
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = [name for name in BENCHMARKS if name not in ASKED]
    parser.add_argument("--quick", action="store_true", help="few rounds, and a model of 4 layers: some minutes in all")
    parser.add_argument("--only", nargs="+", default=usual, choices=list(BENCHMARKS), metavar="NAME",
                        help=f"some of: {', '.join(BENCHMARKS)}; all but {', '.join(ASKED)} if left out")  # fmt: skip
    parser.add_argument("--rounds", type=int, help=f"default: {Settings.rounds}, or {QUICK.rounds} with --quick")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder to write into (default: %(default)s)")
    options = parser.parse_args()

    settings = QUICK if options.quick else Settings()
    if options.rounds is not None:
        settings = dataclasses.replace(settings, rounds=options.rounds)
    began, about = time.strftime("%Y-%m-%dT%H%M%S"), machine.describe()
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        session = Session(settings, Path(scratch))
        generating = [name for name in options.only if BENCHMARKS[name] is decode.measure]
        if generating:
            rows += decode.measure(session, generating)
        for name in BENCHMARKS:
            if name in options.only and name not in generating:
                rows += BENCHMARKS[name](session)
    noisy = {name for each in session.rounds.seen if each.noisy for name in each.benchmark.split()}
    for row in rows:
        row.noisy = row.benchmark in noisy

    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    print(f"\n{about['processor']}, {about['cores']} cores; {versions}; {settings.rounds} rounds\n")
    print(table.as_text(rows))
    print("\n" + "\n".join(session.rounds.summary()))
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"{began}.json"
    file.write_text(json.dumps({
        "began": began, "machine": about, "settings": dataclasses.asdict(settings),
        "rows": [row.as_json() for row in rows], "rounds": session.rounds.as_json(),
    }, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")  # fmt: skip
    picture = file.with_suffix(".png")
    table.draw(rows, f"{about['processor']}, {about['cores']} cores, {began}", picture)
    print(f"\nwritten: {file}, {picture}", file=sys.stderr)


if __name__ == "__main__":
    main()
