"""Compiling a network by MindSpore's parallel compiler, which exists on Ascend only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mindspore as ms
from mindspore import nn

from ..errors import ArgumentError
from .config import ParallelConfig
from .strategies import Strategy, find_model, strategies

if TYPE_CHECKING:
    from ..context.config import ParallelContextConfig

#: How AUTO_PARALLEL can look for strategies.
SEARCHES = ("recursive_programming", "sharding_propagation")

#: Field of ``parallel_optimizer_config`` -> keyword of ``AutoParallel.hsdp``.
_OPTIMIZER = {
    "optimizer_weight_shard_size": "shard_size",
    "parallel_optimizer_threshold": "threshold",
    "optimizer_level": "optimizer_level",
}


def shard(
    network: nn.Cell, config: ParallelConfig, *, rows: int, positions: int, packed: bool = False
) -> dict[str, Strategy]:
    """Set the strategies of a network's operators, and the pipeline stages of its layers.

    To be called before the network is compiled, in both modes: from then on its cells use MindSpore's own gradients,
    transposes and broadcasts, which the compiler can split, instead of those that spare memory on CPU. What they
    compute stays the same.

    Args:
        network: A model, or a cell that holds one, such as its loss.
        config: The settings.
        rows: Examples in a batch, or in a micro-batch, over all copies of the model.
        positions: Places of each.
        packed: Whether examples have their own masks, as with ``packing="apart"``.

    Returns:
        The strategies, by the operators' paths in the network.

    Raises:
        ArgumentError, UnsupportedError: See :func:`mf_core.parallel.strategies.strategies`. Nothing has been changed.
    """
    found = strategies(network, config, rows=rows, positions=positions, packed=packed)
    cells = dict(network.cells_and_names())
    for path, strategy in found.items():
        cell, _, name = path.rpartition(".")
        cells[cell]._primitives[name].shard(strategy.inputs, strategy.outputs)
    for cell in cells.values():
        if hasattr(cell, "by_compiler"):
            cell.by_compiler = True
    _set_stages(network, config)
    _group_gradients(network, config)
    ms.ms_memory_recycle()  # graphs that were compiled before would keep running without
    return found


def _set_stages(network: nn.Cell, config: ParallelConfig) -> None:
    model, _ = find_model(network)
    if config.pipeline_stage == 1 or model.parallel_plan is None:
        return
    plan, cells = model.parallel_plan, dict(model.cells_and_names())
    for path in plan.last:
        cells[path].pipeline_stage = config.pipeline_stage - 1
    for path in plan.first:  # after the last: a tied embedding looks up in the first stage
        cells[path].pipeline_stage = 0
    for number, block in enumerate(model.blocks):
        block.pipeline_stage = number * config.pipeline_stage // len(model.blocks)


def _group_gradients(network: nn.Cell, config: ParallelConfig) -> None:
    """Fuse the gradients' communication by groups of layers, as the settings say."""
    blocks = find_model(network)[0].blocks
    count = min(config.gradient_aggregation_group, len(blocks))
    for number, block in enumerate(blocks):
        block.set_comm_fusion(number * count // len(blocks) + 1)


def auto_parallel_settings(
    config: ParallelConfig, mode: str, *, asked: ParallelContextConfig | None = None, axes: Sequence[int] = (2, 2)
) -> dict[str, Any]:
    """Return the settings of :class:`mindspore.parallel.auto_parallel.AutoParallel`.

    Args:
        config: The settings.
        mode: ``"SEMI_AUTO_PARALLEL"``, which takes the strategies as they are, or ``"AUTO_PARALLEL"``, which looks for
            them as ``search_mode`` of ``asked`` says; or one of :data:`SEARCHES`. In any case.
        asked: What the user gave to :func:`mf_core.init_context`.
        axes: Number of axes of each array that the network takes; 0: a number.

    Returns:
        ``parallel_mode``; then the methods to be called, each with its keywords. Where ``dataset_strategy`` is
        ``"full_batch"``, which ``full_batch=True`` asks for and the search by propagation needs where layers are split,
        each process gives the network the whole batch; else the share of its copy of the model.

    Raises:
        ArgumentError: There is no such mode.
    """
    given = {} if asked is None else asked.model_dump(exclude_unset=True, exclude_none=True)
    searched = given.get("search_mode", SEARCHES[0]) if mode.lower() == "auto_parallel" else mode.lower()
    chosen = "semi_auto" if mode.lower() == "semi_auto_parallel" else searched
    if chosen not in ("semi_auto", *SEARCHES):
        raise ArgumentError(
            f"MindSpore's compiler has no mode {chosen!r}", value=mode,
            hint=f"use SEMI_AUTO_PARALLEL, or AUTO_PARALLEL with search_mode={' or '.join(map(repr, SEARCHES))}",
        )  # fmt: skip
    # Propagation takes no share of a batch that is in fewer parts than there are devices.
    whole = given.get("full_batch", False) or (chosen == "sharding_propagation" and config.model_parallel > 1)
    shares = tuple((config.data_parallel,) + (1,) * (count - 1) if count else () for count in axes)
    settings: dict[str, Any] = {
        "parallel_mode": chosen, "dataset_strategy": {"config": "full_batch" if whole else shares},
    }  # fmt: skip
    if config.pipeline_stage > 1:
        settings["pipeline"] = {"stages": config.pipeline_stage, "scheduler": "1f1b"}
    if config.optimizer_shard or given.get("enable_parallel_optimizer", False):
        more = given.get("parallel_optimizer_config", {})
        settings["hsdp"] = {_OPTIMIZER[name]: value for name, value in more.items() if name in _OPTIMIZER}
    if given.get("comm_fusion"):
        settings["comm_fusion"] = {"config": given["comm_fusion"]}
    if given.get("gradients_mean", False):
        settings["enable_gradients_mean"] = {}
    if not given.get("gradient_fp32_sync", True):
        settings["disable_gradient_fp32_sync"] = {}
    for kind in ("load", "save"):
        if given.get(f"strategy_ckpt_{kind}_file"):
            settings[f"{kind}_param_strategy_file"] = {"file_path": given[f"strategy_ckpt_{kind}_file"]}
    return settings


def auto_parallel(
    network: nn.Cell,
    config: ParallelConfig,
    mode: str,
    *,
    asked: ParallelContextConfig | None = None,
    axes: Sequence[int] = (2, 2),
) -> nn.Cell:
    """Return a network in the ``AutoParallel`` that has MindSpore's parallel compiler compile it.

    The process has joined its cluster. On CPU the result can be made and not called: there is no such compiler.

    Args:
        network: What is compiled as one: it computes the loss, or takes a whole step.
        config: The settings.
        mode: See :func:`auto_parallel_settings`.
        asked: See there.
        axes: See there.

    Raises:
        ArgumentError: There is no such mode.
    """
    from mindspore.parallel.auto_parallel import AutoParallel

    settings = auto_parallel_settings(config, mode, asked=asked, axes=axes)
    result = AutoParallel(network, parallel_mode=settings.pop("parallel_mode"))
    for method, keywords in settings.items():
        getattr(result, method)(**keywords)
    return result
