"""``mf data build``: text into a MindRecord file of ids."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ArgumentError, DataError
from ..utils.paths import user_path


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    data = commands.add_parser("data", help="prepare data for training")
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="tokenise texts and write them as MindRecord")
    build.add_argument("input", nargs="+", help=".jsonl or .txt files (or .gz of them), or folders of such files")
    build.add_argument("--tokenizer", required=True, help="preset, directory or owner/name")
    build.add_argument("--output", required=True, help="the file to write; its index gets .db added to the name")
    build.add_argument("--seq-length", type=int, default=1024, help="a row has one id more (default: 1024)")
    build.add_argument(
        "--mode", choices=("join", "apart", "none"), default="join",
        help="join documents and cut rows anywhere (default); keep them apart; or give each its own row",
    )  # fmt: skip
    build.add_argument("--workers", type=int, default=0, help="processes for tokenizers that are not in Rust")
    build.add_argument("--on-bad-record", choices=("error", "skip"), default="error", help="default: error")
    build.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    build.set_defaults(run=run_build)


def run_build(options: argparse.Namespace) -> int:
    """Write the file and print a summary."""
    from ..auto import AutoTokenizer
    from ..data import PackedRows, open_records, pack, write_mindrecord
    from ..data.files.mindrecord import check_target

    output = user_path(options.output)
    check_target(output, options.overwrite)
    if options.seq_length < 1:
        raise ArgumentError(f"--seq-length={options.seq_length} is not at least 1", value=options.seq_length)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    records = open_records([user_path(path) for path in options.input], on_bad_record=options.on_bad_record)
    length = options.seq_length + 1
    rows = pack(records, tokenizer, length, mode=options.mode, workers=options.workers)
    assert isinstance(rows, PackedRows)
    if len(rows[0]["input_ids"]) < length:
        raise DataError(
            f"{records.name} has {rows.tokens} tokens, fewer than a row of {length}", value=rows.tokens,
            why="the tokenizer has no pad token", hint="lower --seq-length or give more text",
        )
    description = f"{options.mode}, seq_length {options.seq_length}, tokenizer {options.tokenizer}"
    count = write_mindrecord(output, rows, overwrite=options.overwrite, description=description)
    columns = ", ".join(rows[0])
    print(f"{output}: {count} rows of {length} ids ({columns})")
    print(f"{rows.documents} documents, {rows.tokens} tokens, {rows.left} of these in no row")
    print(f"{rows.skipped} bad records left out")
    return 0
