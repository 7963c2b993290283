"""``mf ckpt``: checkpoints of parallel training, between their whole and their sharded form."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import printable
from ..utils.paths import user_path
from .table import print_json, print_table

if TYPE_CHECKING:
    from ..checkpoint.shards import LazyTensor

_PARALLEL = (
    ("data-parallel", "D", "copies of the model"),
    ("model-parallel", "T", "processes that share each layer's weights"),
    ("pipeline-stage", "P", "stages that hold some layers each"),
    ("expert-parallel", "E", "copies that share the experts of a mixture"),
)


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    ckpt = commands.add_parser("ckpt", help="join, split and look at checkpoints of parallel training")
    actions = ckpt.add_subparsers(title="actions", metavar="ACTION", required=True)
    merge = actions.add_parser("merge", help="make the whole form of a sharded checkpoint")
    _add_folders(merge)
    merge.set_defaults(run=run_merge)
    split = actions.add_parser(
        "split",
        help="make the sharded form, for a number of processes, of a checkpoint in either form",
        description="Splits a checkpoint by its model's parallel plan, as a run with the same settings saves it.",
    )
    _add_folders(split)
    for name, letter, what in _PARALLEL:
        split.add_argument(f"--{name}", type=int, default=1, metavar=letter, help=f"{what} (default: 1)")
    split.add_argument(
        "--optimizer-shard", action="store_true", help="split the optimizer's states over the copies of the model"
    )
    split.add_argument(
        "--no-vocab-emb-dp", action="store_true", help="split embeddings by vocabulary over the T processes"
    )
    split.set_defaults(run=run_split)
    inspect = actions.add_parser("inspect", help="say what a checkpoint holds, and whether all of it is there")
    inspect.add_argument("checkpoint", metavar="CKPT", help="the checkpoint's folder")
    inspect.add_argument("--tensors", action="store_true", help="list each tensor too")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    inspect.set_defaults(run=run_inspect)
    verify = actions.add_parser(
        "verify",
        help="compare a checkpoint's files with the digests that were written with them",
        description="Reads every weights and optimizer file and names those that are damaged.",
    )
    verify.add_argument("checkpoint", metavar="CKPT", help="the checkpoint's folder")
    verify.add_argument("--json", action="store_true", help="as JSON")
    verify.set_defaults(run=run_verify)


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="the checkpoint's folder")
    parser.add_argument("output", metavar="OUT", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the checkpoint that is there")


def run_merge(options: argparse.Namespace) -> int:
    """Write the whole form, and print a summary."""
    from ..checkpoint.reshard import merge

    start = time.monotonic()
    with _progress(options.checkpoint) as (on_tensor, nbytes):
        files = merge(options.checkpoint, options.output, overwrite=options.overwrite, on_tensor=on_tensor)
    many = f"{len(files)} files" if len(files) > 1 else "one file"
    took = time.monotonic() - start
    print(f"{options.output}: the whole form, weights in {many}, {_size(nbytes)} in all; {took:.0f} s")
    return 0


def run_split(options: argparse.Namespace) -> int:
    """Write the sharded form, and print a summary."""
    from ..checkpoint.reshard import split
    from ..parallel import ParallelConfig

    config = ParallelConfig(
        data_parallel=options.data_parallel, model_parallel=options.model_parallel,
        pipeline_stage=options.pipeline_stage, expert_parallel=options.expert_parallel,
        optimizer_shard=options.optimizer_shard, vocab_emb_dp=not options.no_vocab_emb_dp,
    )  # fmt: skip
    start = time.monotonic()
    with _progress(options.checkpoint) as (on_tensor, nbytes):
        index = split(
            options.checkpoint, options.output, config.layout(0), config.optimizer_shard, not config.vocab_emb_dp,
            overwrite=options.overwrite, on_tensor=on_tensor,
        )  # fmt: skip
    took = time.monotonic() - start
    print(f"{options.output}: pieces for {_processes(index.layout.size)}, {_size(nbytes)} in all; {took:.0f} s")
    return 0


@contextmanager
def _progress(checkpoint: str) -> Iterator[tuple[Callable[[LazyTensor], None], int]]:
    """Show a progress bar; yield its update function, and the size of the checkpoint's tensors."""
    from tqdm import tqdm

    from ..checkpoint.consolidate import whole_tensors

    total = sum(t.nbytes for t in (*whole_tensors(checkpoint), *whole_tensors(checkpoint, "optimizer")))
    with tqdm(total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        def advance(tensor: LazyTensor) -> None:
            bar.update(tensor.nbytes)

        yield advance, total


def run_inspect(options: argparse.Namespace) -> int:
    """Print the content; return 1 where something is missing or broken."""
    from ..checkpoint.inspect import inspect

    found = inspect(user_path(options.checkpoint))
    if options.json:
        print_json({**found, "tensors": found["tensors"]} if options.tensors else _without(found, "tensors"))
        return int(not found["complete"])
    lines = [(name, text) for name, text in _lines(found) if text]
    width = max(len(name) for name, _ in lines) + 2
    for name, text in lines:
        print(f"{name:{width}}{printable(text)}")
    print()
    print_table(("FILE", "RANK", "TENSORS", "SIZE"), [
        (file["file"], "-" if file["rank"] is None else str(file["rank"]),
         "missing or broken" if file["tensors"] is None else str(file["tensors"]), _size(file["bytes"]))
        for file in found["files"]
    ])  # fmt: skip
    if options.tensors:
        print()
        print_table(("TENSOR", "TYPE", "SHAPE", "WHERE"), [
            (tensor["name"], tensor["dtype"], "x".join(map(str, tensor["shape"])) or "scalar", tensor["where"])
            for tensor in found["tensors"]
        ])  # fmt: skip
    for fault in found["faults"]:
        print(f"fault: {printable(fault)}")
    return int(not found["complete"])


def run_verify(options: argparse.Namespace) -> int:
    """Print the status of each file; return 1 if one is damaged, or if none could be compared."""
    from ..checkpoint.verify import check_files
    from ..errors import FileMissingError

    found = check_files(options.checkpoint)
    if not found:
        raise FileMissingError(
            f"{options.checkpoint!r} has no safetensors files", value=options.checkpoint,
            hint="name the folder of a model, of adapters, or of a checkpoint of a run",
        )  # fmt: skip
    words = {"whole": "whole", "damaged": "DAMAGED", "unknown": "written without a digest"}
    root = user_path(options.checkpoint)
    rows = [(check.path.relative_to(root).as_posix(), words[check.status], check.why) for check in found]
    if options.json:
        print_json([{"file": name, "status": check.status, "why": check.why}
                    for check, (name, _, _) in zip(found, rows, strict=True)])  # fmt: skip
    else:
        print_table(("FILE", "STATUS", "WHY"), rows)
    return int(any(check.status == "damaged" for check in found) or all(check.status == "unknown" for check in found))


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "checkpoint", found["checkpoint"]
    grid, adapter = found["layout"], found["adapter"]
    if adapter is not None:
        targets = adapter.get("target_modules")
        named = ", ".join(map(str, targets)) if isinstance(targets, list) else str(targets)
        yield "adapter", f"{adapter.get('peft_type')} of rank {adapter.get('r')} for {named}"
        yield "base model", str(adapter.get("base_model_name_or_path") or "not named")
    else:
        yield "model", found["model_type"] or "not known"
    if grid is None:
        yield "form", "whole"
    else:
        yield "form", f"sharded, of {_processes(grid['data'] * grid['tensor'] * grid['pipeline'])}"
        yield "layout", ", ".join(f"{name} {number}" for name, number in grid.items())
    yield "step", "" if found["step"] is None else f"{found['step']:,}"
    for kind in ("weights", "optimizer"):
        held = found[kind]
        if held is None:
            yield kind, "none" if kind == "optimizer" else ""
        else:
            types = " and ".join(held["dtypes"])
            yield kind, f"{held['numbers']:,} numbers in {held['tensors']} tensors, {types}, {_size(held['bytes'])}"
    yield "complete", "yes" if found["complete"] else "no"


def _without(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != name}


def _processes(count: int) -> str:
    return f"{count} processes" if count > 1 else "one process"


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.3g} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:.3g} MB" if nbytes >= 1e5 else f"{nbytes:,} B"
