"""``mf convert``: a checkpoint of another layout into ``config.json`` and safetensors."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..utils.paths import user_path
from .settings import add_set_option, put_settings

if TYPE_CHECKING:
    from ..checkpoint.shards import LazyTensor


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    convert = commands.add_parser(
        "convert",
        help="make safetensors of a checkpoint in another layout",
        description="Converts a GGUF file, or a checkpoint in a layout that the model's plugin knows, such as "
        "MindFormers' .ckpt files, with one tensor in memory at a time.",
    )
    convert.add_argument("source", metavar="SOURCE", help="the file, or the folder that holds its files")
    convert.add_argument("--model", help="preset, directory or config file that says its sizes; not for a GGUF file")
    convert.add_argument("--output", metavar="DIR", help="where to write (default: a folder called like the preset)")
    convert.add_argument(
        "--dtype", choices=("bfloat16", "float16", "float32"), help="type of the weights (default: the source's)"
    )
    add_set_option(convert, "set a field of the configuration, such as num_layers=4; may be repeated")
    convert.add_argument("--overwrite", action="store_true", help="replace the model that is there")
    convert.set_defaults(run=run_convert)


def run_convert(options: argparse.Namespace) -> int:
    """Print the recognised layout, convert with a progress bar, print the result."""
    overrides: dict[str, Any] = {}
    put_settings(overrides, options.settings)
    from ..conversion.run import check_output, plan_conversion
    from ..plugins.registry import registry

    if options.output is None and (options.model is None or not registry.has("preset", options.model)):
        what = "there is no --model" if options.model is None else f"--model {options.model} is no preset"
        raise ArgumentError(what, hint="say where to write: --output DIR")
    output = user_path(options.output or options.model.rpartition(":")[2])
    check_output(output, options.overwrite)
    start = time.monotonic()
    plan = plan_conversion(options.source, options.model, dtype=options.dtype, overrides=overrides)
    weights = sum(math.prod(tensor.shape) for tensor in plan.tensors)
    left = f"; {plan.ignored} that are no weights are left out" if plan.ignored else ""
    print(f"{options.source}: {plan.description}; {weights:,} weights in {len(plan.tensors)} tensors{left}", flush=True)
    from tqdm import tqdm

    with tqdm(total=plan.nbytes, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        def advance(tensor: LazyTensor) -> None:
            bar.update(tensor.nbytes)

        files = plan.write(output, overwrite=options.overwrite, on_tensor=advance)
    kinds = " and ".join(sorted({tensor.dtype for tensor in plan.tensors}))
    many = f"{len(files)} files" if len(files) > 1 else "one file"
    took = time.monotonic() - start
    print(f"{output}: config.json, and weights in {many}, {plan.nbytes / 1e9:.3g} GB of {kinds}; {took:.0f} s")
    return 0
