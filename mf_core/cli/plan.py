"""``mf plan``: which layouts of a model fit on so many devices, and which is likely the fastest."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..backends.base import load_backend
from ..errors import ArgumentError
from ..optim import optimizer_names
from .settings import add_set_option, put_settings
from .table import print_json, print_table

if TYPE_CHECKING:
    from ..planner.memory import StepShape
    from ..planner.meta_model import MetaModel
    from ..planner.search import Candidate, Machine, Refusal

_UNITS = {"": 1e9, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
          "tib": 2.0**40}  # fmt: skip
#: Layouts that are shown unless all are asked for.
_SHOWN = 10
_HEADER = (
    "DATA", "TENSOR", "STAGES", "MICRO", "SHARD", "WEIGHTS", "GRADIENTS", "STATES", "ACTIVATIONS", "OTHER", "TOTAL",
    "SENT", "BUBBLE", "STEP", "TOKENS/S", "FITS",
)  # fmt: skip


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    plan = commands.add_parser(
        "plan",
        help="which layouts of a model fit on so many devices, best first",
        description="Computes, without making the model, what a training step takes on each device in every layout of "
        "data x tensor x pipeline parallelism that the model allows, and orders those that fit by the estimated "
        "tokens a second.",
    )
    plan.add_argument("--model", required=True, metavar="NAME", help="a preset, directory, repository or config file")
    plan.add_argument("--devices", type=int, required=True, metavar="N", help="how many there are")
    plan.add_argument("--device-memory", metavar="SIZE", help="of each, as 64GB or 60GiB; else nothing is left out")
    what = plan.add_argument_group("the step")
    rows = what.add_mutually_exclusive_group()
    rows.add_argument("--batch-size", type=int, metavar="B", help="rows of each copy of the model (default: 1)")
    rows.add_argument("--global-batch-size", type=int, metavar="B", help="rows of all copies together")
    what.add_argument("--seq-length", type=int, metavar="S", help="positions of a row (default: the model's)")
    what.add_argument("--micro-batches", type=int, metavar="M", help="parts of a batch (default: its rows with stages)")
    what.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16", help="computed in (default: fp16)")
    what.add_argument(
        "--optim", choices=optimizer_names(), default="adamw", help="default: adamw"
    )
    again = what.add_mutually_exclusive_group()
    again.add_argument("--recompute", action="store_true", help="recompute each layer's activations")
    again.add_argument("--select-recompute", action="store_true", help="only those of attention")
    what.add_argument(
        "--optimizer-shard", nargs="?", const="on", default="off", choices=("on", "off", "both"),
        help="split the optimizer's states over the copies",
    )  # fmt: skip
    what.add_argument("--seq-parallel", action="store_true", help="split activations by position on the tensor axis")
    what.add_argument("--split-vocabulary", action="store_true", help="split the embedding on the tensor axis")
    add_set_option(what, "a field of the model's configuration, such as hidden_dropout_rate=0; may be repeated")
    machine = plan.add_argument_group("the devices, for the order")
    machine.add_argument("--flops", default="100T", metavar="F", help="operations a second reached (default: 100T)")
    machine.add_argument("--bandwidth", default="25GB", metavar="SIZE", help="sent a second by each (default: 25GB)")
    machine.add_argument("--on-cpu", action="store_true", help="devices are processes on CPU: count compiled graphs")
    plan.add_argument("--all", action="store_true", help="show those that do not fit, and those not allowed, too")
    plan.add_argument("--json", action="store_true", help="as JSON, all of them")
    plan.set_defaults(run=run_plan)


def run_plan(options: argparse.Namespace) -> int:
    """Print the layouts; return 1 where none fits."""
    from ..planner.search import Machine, candidates

    machine = Machine(
        _positive(options.devices, "--devices"),
        None if options.device_memory is None else int(_size(options.device_memory, "--device-memory")),
        _flops(options.flops), _size(options.bandwidth.removesuffix("/s"), "--bandwidth"),
    )  # fmt: skip
    for name in ("batch_size", "global_batch_size", "seq_length", "micro_batches"):
        value = getattr(options, name)
        if value is not None:
            _positive(value, f"--{name.replace('_', '-')}")
    model = _meta_model(options.model, options.settings)
    step = _step(options, model)
    shards = {"on": (True,), "off": (False,), "both": (False, True)}[options.optimizer_shard]
    found, refused = candidates(
        model, step, machine, global_rows=options.global_batch_size, micro_batches=options.micro_batches,
        optimizer_shards=shards,
    )  # fmt: skip
    if options.json:
        print_json(_data(model, step, machine, found, refused))
    else:
        _show(options, model, step, machine, found, refused)
    return 0 if any(item.fits is not False for item in found) else 1


def _meta_model(name: str, settings: Sequence[str]) -> MetaModel:
    from ..backends.base import load_class
    from ..checkpoint.locate import locate
    from ..planner.meta_model import build_meta_model
    from ..plugins.registry import registry

    checkpoint = locate(name)
    fields: dict[str, Any] = {}
    put_settings(fields, settings)
    model_class = load_class(registry.find("model:causal_lm", checkpoint.model_type, checkpoint.owner))
    return build_meta_model(model_class, model_class.config_class.from_dict(checkpoint.config, **fields))


def _step(options: argparse.Namespace, model: MetaModel) -> StepShape:
    from ..parallel.config import ParallelConfig, RecomputeConfig
    from ..planner.memory import StepShape

    length = options.seq_length or int(getattr(model.config, "seq_length", 0))
    longest = int(getattr(model.config, "seq_length", length))
    if not 0 < length <= longest:
        raise ArgumentError(
            f"--seq-length {length} is not from 1 to the model's {longest}", value=length,
            hint=f"--set seq_length={length} plans a model with more positions",
        )  # fmt: skip
    return StepShape(
        options.batch_size or 1, length, 2 if options.dtype == "fp16" else 4, options.optim,
        parallel=ParallelConfig(use_seq_parallel=options.seq_parallel, vocab_emb_dp=not options.split_vocabulary),
        recompute=RecomputeConfig(recompute=options.recompute, select_recompute=options.select_recompute),
        on_host=options.on_cpu, kernels=_cpu_kernels() if options.on_cpu else frozenset(),
    )  # fmt: skip


def _cpu_kernels() -> frozenset[str]:
    """Return the kernels that the CPU backend names; MindSpore, which would tell of their use, is not imported."""
    off = os.environ.get("MF_KERNELS") == "0"
    return frozenset() if off else frozenset(load_backend("cpu").kernels)


# Numbers with units ---------------------------------------------------------------------------------------------------


def _positive(value: int, option: str) -> int:
    if value < 1:
        raise ArgumentError(f"{option} {value} is not a positive number", value=value)
    return value


def _size(text: str, option: str) -> float:
    """Return the bytes of ``"64GB"``, ``"60GiB"`` or ``"64"``, which are GB."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not found or found[2].lower() not in _UNITS or float(found[1]) == 0:
        raise ArgumentError(f"{option} {text!r} is not a size", value=text, hint="write it as 64GB or 60GiB")
    return float(found[1]) * _UNITS[found[2].lower()]


def _flops(text: str) -> float:
    """Return the operations a second of ``"100T"``, ``"0.5P"`` or ``"1e14"``."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([GTP]?)\s*", text, re.I)
    value = float(found[1]) * {"": 1.0, "G": 1e9, "T": 1e12, "P": 1e15}[found[2].upper()] if found else 0.0
    if not value:
        raise ArgumentError(f"--flops {text!r} is not a number of operations", value=text, hint="write it as 100T")
    return value


# What is shown --------------------------------------------------------------------------------------------------------


def _show(
    options: argparse.Namespace,
    model: MetaModel,
    step: StepShape,
    machine: Machine,
    found: Sequence[Candidate],
    refused: Sequence[Refusal],
) -> None:
    fitting = [item for item in found if item.fits is not False]
    rows, of_what = options.global_batch_size or step.rows, "a step" if options.global_batch_size else "a copy"
    print(
        f"{options.model}: {model.num_parameters:,} parameters in {len(model.blocks)} layers, {rows} "
        f"row{'s' * (rows > 1)} {of_what} of {step.length} tokens, {options.dtype}, {step.optim}"
    )
    cache = _cache(model, step)
    if cache:
        print(f"when it generates text, the cache of one text of {step.length} tokens takes {_giga(cache)} GB")
    fit = "" if machine.memory is None else f", {len(fitting)} fit into {_giga(machine.memory)} GB each"
    print(f"{len(found)} layouts for {machine.devices} devices{fit}; {len(refused)} are not allowed")
    shown = list(found) if options.all else fitting[:_SHOWN]
    if shown:
        _print_layouts(shown, shards=options.optimizer_shard != "off", fits=options.all and machine.memory is not None)
        print("\n" + _legend(machine, options.on_cpu))
    if machine.memory is None:
        _warn_of_large(found)
    if not options.all and len(fitting) > _SHOWN:
        print(f"{len(fitting) - _SHOWN} more fit; --all shows them, and what does not fit.")
    if options.all and refused:
        print("\nNot allowed:")
        for refusal in refused:
            print(f"  {_grid(refusal)}: {refusal.why}")
    if not fitting:
        print(_advice(options, found, refused))


def _warn_of_large(found: Sequence[Candidate]) -> None:
    from ..planner.search import LARGEST_DEVICE

    large = sum(item.memory.total > LARGEST_DEVICE for item in found)
    if large:
        print(
            f"{large} of them, which come last, take more than any device has ({LARGEST_DEVICE / 2**30:.0f} GiB). "
            "--device-memory says how much yours have."
        )


def _print_layouts(items: Sequence[Candidate], *, shards: bool, fits: bool) -> None:
    left_out = {name for name, kept in (("SHARD", shards), ("FITS", fits)) if not kept}
    kept = [i for i, name in enumerate(_HEADER) if name not in left_out]
    print()
    print_table([_HEADER[i] for i in kept], [[row[i] for i in kept] for row in map(_row, items)])


def _row(item: Candidate) -> list[str]:
    parallel, memory = item.parallel, item.memory
    return [
        str(parallel.data_parallel), str(parallel.model_parallel), str(parallel.pipeline_stage),
        str(parallel.micro_batch_num), "yes" if parallel.optimizer_shard else "no",
        *(_giga(part) for part in memory.as_dict().values()), _giga(memory.total), _giga(item.traffic.total),
        f"{100 * item.bubble:.0f}%", f"{item.seconds:.2f} s", f"{item.tokens_per_second:,.0f}",
        "yes" if item.fits else "no",
    ]  # fmt: skip


def _grid(item: Candidate | Refusal) -> str:
    parallel = item.parallel
    return f"{parallel.data_parallel} x {parallel.model_parallel} x {parallel.pipeline_stage}"


def _cache(model: MetaModel, step: StepShape) -> int:
    return model.model_class.cache_nbytes(model.config, 1, step.length)


def _giga(size: float) -> str:
    return f"{size / 1e9:.2f}" if size < 100e9 else f"{size / 1e9:.0f}"


def _legend(machine: Machine, on_cpu: bool) -> str:
    other = "the process and its graphs" if on_cpu else "buffers of communication"
    return (
        "Sizes are GB on each device, of the stage that takes most. ACTIVATIONS is what a step takes beyond the "
        f"columns\nbefore it, OTHER {other}, SENT what is sent in a step. Best first by TOKENS/S, an estimate:\n"
        f"computing at {machine.flops / 1e12:g} T operations a second, waiting for other stages (BUBBLE), "
        f"then sending at {machine.bandwidth / 1e9:g} GB/s."
    )


def _advice(options: argparse.Namespace, found: Sequence[Candidate], refused: Sequence[Refusal]) -> str:
    if not found:
        return f"No layout is allowed, such as {_grid(refused[0])}: {refused[0].why}. --all says why for each."
    least = min(found, key=lambda item: item.memory.total)
    tries = [
        name for name, used in (
            ("--optimizer-shard", options.optimizer_shard != "off"), ("--recompute", options.recompute),
            ("--seq-parallel", options.seq_parallel), ("--split-vocabulary", options.split_vocabulary),
        ) if not used
    ]  # fmt: skip
    return (
        f"None fits: the least, {_grid(least)}, takes {_giga(least.memory.total)} GB. "
        f"Try {', '.join((*tries, 'fewer rows', 'more devices'))}."
    )


def _data(
    model: MetaModel, step: StepShape, machine: Machine, found: Sequence[Candidate], refused: Sequence[Refusal]
) -> dict[str, Any]:
    return {
        "model": model.model_class.__name__, "parameters": model.num_parameters, "layers": len(model.blocks),
        "devices": machine.devices, "device_memory": machine.memory, "seq_length": step.length,
        "generation_cache": _cache(model, step),
        "flops": machine.flops, "bandwidth": machine.bandwidth,
        "layouts": [
            {
                **_numbers(item), "fits": item.fits, "memory": {**item.memory.as_dict(), "total": item.memory.total},
                "stage": item.stage, "sent": {**item.traffic.as_dict(), "total": item.traffic.total},
                "bubble": item.bubble, "compute_seconds": item.compute_seconds, "seconds": item.seconds,
                "tokens": item.tokens, "tokens_per_second": item.tokens_per_second,
            }
            for item in found
        ],
        "not_allowed": [{**_numbers(item), "why": item.why} for item in refused],
    }  # fmt: skip


def _numbers(item: Candidate | Refusal) -> dict[str, Any]:
    """Return what ``set_parallel_config`` takes."""
    return item.parallel.model_dump()
