"""The settings of :func:`init_context`, validated when they are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from ..errors import ArgumentError
from ..utils.settings import Settings

#: MindSpore's execution modes: compiled graphs, or one operation at a time.
MODES = {"GRAPH_MODE": 0, "PYNATIVE_MODE": 1}


def _mode(value: Any) -> Any:
    number = MODES.get(value.upper()) if isinstance(value, str) else value
    if number not in (0, 1) or isinstance(number, bool):
        raise ValueError("no such mode; there are GRAPH_MODE (0) and PYNATIVE_MODE (1)")
    return number


def _memory(value: str) -> str:
    try:
        if value.endswith("GB") and value[:1].isdecimal() and 0 < float(value[:-2]) < 1e6:
            return value
    except ValueError:
        pass
    raise ValueError('not an amount of memory, which is written like "8GB" or "3.5GB"')


def _pool_block(value: str) -> str:
    if float(value[:-2]) < 1:
        raise ValueError('a block of the pool has at least "1GB"')
    return value


def _fusion(value: list[int]) -> list[int]:
    if value != sorted(set(value)) or any(index < 0 for index in value):
        raise ValueError("these are no indices of parameters in rising order")
    return value


def _keys(*known: str) -> AfterValidator:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key not in known:
                raise ValueError(f"unknown key {key!r}; there are {', '.join(known)}")
        return value

    return AfterValidator(check)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _from_environment(variable: str, default: int) -> Callable[[], int]:
    def read() -> int:
        text = os.environ.get(variable) or str(default)
        if not text.isdecimal():
            raise ArgumentError(f"${variable}={text!r} is not a whole number", value=text)
        return int(text)

    return read


Memory = Annotated[str, AfterValidator(_memory)]
Positive = Annotated[int, Field(ge=1)]
Search = Literal["recursive_programming", "sharding_propagation", "dynamic_programming"]
ParallelMode = Annotated[
    Literal["STAND_ALONE", "DATA_PARALLEL", "SEMI_AUTO_PARALLEL", "AUTO_PARALLEL", "HYBRID_PARALLEL"],
    BeforeValidator(_upper),
]


class ContextConfig(Settings):
    """How MindSpore executes in this process. A field that is None is left as MindSpore has it.

    Attributes:
        mode: ``0`` or ``"GRAPH_MODE"``; ``1`` or ``"PYNATIVE_MODE"``.
        device_target: The backend, ``"CPU"``, ``"Ascend"``, …, in any case; None: ``$MF_BACKEND`` or the best.
        device_id: Number of the device; default ``$DEVICE_ID`` or 0. In a cluster the launcher's ``$DEVICE_ID`` holds.
        save_graphs: Whether to write the compiled graphs; or how much of them, 0 to 3.
        save_graphs_path: The directory that they go to.
        enable_graph_kernel, graph_kernel_flags: Fusion of operators. On Ascend and GPU.
        enable_reduce_precision: Whether operators without a kernel for a type may use a lower one. On Ascend.
        max_device_memory, mempool_block_size: ``"8GB"``; the latter at least ``"1GB"``. On Ascend and GPU.
        variable_memory_max_size, print_file_path: On Ascend.
        max_call_depth: Deepest nesting of function calls in a graph.
        env_config_path: A JSON file with MindSpore's own settings.
        runtime_num_threads: Threads of CPU kernels. They can be set once, before the first model is made.
        pynative_synchronize: Whether operators are waited for one by one, so that errors show where they arise.
        check_bprop: Whether custom gradients are checked against their inputs' shapes and types.
        reserve_class_name_in_scope: Whether the names of cells' classes are part of parameters' scopes.

    The fields ``precompile_only``, ``enable_dump``, ``save_dump_path``, ``enable_profiling``, ``profiling_options``,
    ``save_compile_cache``, ``load_compile_cache``, ``enable_sparse``, ``grad_for_scalar``, ``auto_tune_mode`` and
    ``enable_auto_mixed_precision`` are accepted and have no effect: MindSpore no longer takes them, and
    :func:`init_context` warns of those that are set.

    Raises:
        ArgumentError: A field is unknown, of the wrong type or out of range.
    """

    model_config = ConfigDict(strict=True)

    mode: Annotated[int, BeforeValidator(_mode)] = 0
    device_target: Annotated[str, Field(min_length=1)] | None = None
    device_id: Annotated[int, Field(ge=0)] = Field(default_factory=_from_environment("DEVICE_ID", 0))
    save_graphs: Annotated[bool | int, Field(ge=0, le=3)] = False
    save_graphs_path: str = "."
    precompile_only: bool | None = None
    enable_dump: bool | None = None
    save_dump_path: str | None = None
    enable_profiling: bool | None = None
    profiling_options: str | None = None
    enable_graph_kernel: bool | None = None
    graph_kernel_flags: str | None = None
    enable_reduce_precision: bool | None = None
    max_device_memory: Memory | None = None
    variable_memory_max_size: Memory | None = None
    print_file_path: str | None = None
    max_call_depth: Positive | None = None
    env_config_path: str | None = None
    save_compile_cache: bool | None = None
    load_compile_cache: bool | None = None
    runtime_num_threads: Positive | None = None
    pynative_synchronize: bool | None = None
    mempool_block_size: Annotated[Memory, AfterValidator(_pool_block)] | None = None
    check_bprop: bool | None = None
    enable_sparse: bool | None = None
    reserve_class_name_in_scope: bool | None = None
    grad_for_scalar: bool | None = None
    auto_tune_mode: str | None = None
    enable_auto_mixed_precision: bool | None = None


class ParallelContextConfig(Settings):
    """How the processes of a cluster share the work. A field that is None is left as MindSpore has it.

    Attributes:
        parallel_mode: ``"STAND_ALONE"``, ``"DATA_PARALLEL"``, ``"SEMI_AUTO_PARALLEL"``, ``"AUTO_PARALLEL"`` or
            ``"HYBRID_PARALLEL"``, in any case.
        device_num: Number of processes; default ``$RANK_SIZE`` or 1. When given, it must be the cluster's.
        gradients_mean: Whether gradients are averaged over the processes, not summed.
        global_rank: This process's number. When given, it must be the one that the cluster gave it.
        gradient_fp32_sync: Whether gradients travel in fp32.
        search_mode: How AUTO_PARALLEL looks for strategies. ``auto_parallel_search_mode`` is another name of it.
        parameter_broadcast: Whether all processes start with the parameters of the first.
        strategy_ckpt_load_file, strategy_ckpt_save_file: Files of strategies.
        full_batch: Whether each process loads whole batches.
        enable_parallel_optimizer: Whether the optimizer's state is split over the processes.
        parallel_optimizer_config: More of that: ``parallel_optimizer_threshold`` (KB), ``optimizer_level``, ….
        enable_alltoall: Whether tensors are re-split by AllToAll.
        all_reduce_fusion_config: Indices of parameters, rising, after which gradients are sent together.
        comm_fusion: ``{"allreduce": {"mode": "auto" | "size" | "index", "config": …}, …}``.
        pipeline_stages: Number of stages of a pipeline.
        grad_accumulation_step: Known and without effect beyond 1: MindSpore no longer takes it.

    Raises:
        ArgumentError: A field is unknown, of the wrong type or out of range.
    """

    model_config = ConfigDict(strict=True)

    aliases: ClassVar[Mapping[str, str]] = {"auto_parallel_search_mode": "search_mode"}

    parallel_mode: ParallelMode = "STAND_ALONE"
    device_num: Annotated[int, Field(ge=1, le=4096)] = Field(default_factory=_from_environment("RANK_SIZE", 1))
    gradients_mean: bool = False
    global_rank: Annotated[int, Field(ge=0, le=4095)] | None = None
    gradient_fp32_sync: bool | None = None
    search_mode: Search | None = None
    parameter_broadcast: bool | None = None
    strategy_ckpt_load_file: str | None = None
    strategy_ckpt_save_file: str | None = None
    full_batch: bool | None = None
    enable_parallel_optimizer: bool | None = None
    enable_alltoall: bool | None = None
    all_reduce_fusion_config: Annotated[list[int], AfterValidator(_fusion)] | None = None
    pipeline_stages: Positive | None = None
    grad_accumulation_step: Positive | None = None
    parallel_optimizer_config: (
        Annotated[
            dict[str, Any],
            _keys(
                "gradient_accumulation_shard", "parallel_optimizer_threshold", "optimizer_weight_shard_size",
                "optimizer_level",
            ),
        ]
        | None
    ) = None  # fmt: skip
    comm_fusion: Annotated[dict[str, Any], _keys("openstate", "allreduce", "allgather", "reducescatter")] | None = None
