"""Application of configuration fields through MindSpore's setters.

As of MindSpore 2.10. Its older ``set_context`` is used where it has no newer call, or where the newer one can be made
once only (``runtime.set_memory``) or cannot be undone (``runtime.launch_blocking``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, BackendError
from .config import ContextConfig, ParallelContextConfig

_state: dict[str, Any] = {"threads": None, "parallel": None}


@dataclass(frozen=True)
class Setter:
    """How a field is applied.

    Attributes:
        apply: Called with mindspore and the value.
        devices: The devices, in MindSpore's names, that have what the field is about; empty: all.
    """

    apply: Callable[[Any, Any], None]
    devices: tuple[str, ...] = ()


def _set_context(name: str, *devices: str) -> Setter:
    return Setter(lambda ms, value: ms.set_context(**{name: value}), devices)


def _set_threads(ms: Any, count: int) -> None:
    try:
        ms.device_context.cpu.op_tuning.threads_num(count)
    except RuntimeError as error:  # raised when they were set before
        if _state["threads"] != count:
            raise BackendError(
                f"runtime_num_threads={count} comes too late", value=count,
                why="MindSpore's threads can be set once, and this process has set them",
                hint="call init_context before the first model is made, or set MF_NUM_THREADS",
            ) from error  # fmt: skip
    _state["threads"] = count


#: Field of ContextConfig -> its setter, in the order in which they are applied.
SETTERS = {
    "mode": _set_context("mode"),
    "save_graphs_path": _set_context("save_graphs_path"),
    "save_graphs": _set_context("save_graphs"),
    "max_call_depth": Setter(lambda ms, value: ms.set_recursion_limit(value)),
    "runtime_num_threads": Setter(_set_threads),
    "pynative_synchronize": _set_context("pynative_synchronize"),
    "check_bprop": _set_context("check_bprop"),
    "reserve_class_name_in_scope": _set_context("reserve_class_name_in_scope"),
    "env_config_path": _set_context("env_config_path"),
    "enable_graph_kernel": _set_context("enable_graph_kernel", "Ascend", "GPU"),
    "graph_kernel_flags": _set_context("graph_kernel_flags", "Ascend", "GPU"),
    "max_device_memory": _set_context("max_device_memory", "Ascend", "GPU"),
    "mempool_block_size": _set_context("mempool_block_size", "Ascend", "GPU"),
    "variable_memory_max_size": _set_context("variable_memory_max_size", "Ascend"),
    "enable_reduce_precision": _set_context("enable_reduce_precision", "Ascend"),
    "print_file_path": _set_context("print_file_path", "Ascend"),
}

#: Fields that have to be applied before the device is set up, whose backend has its own settings for them.
EARLY = ("runtime_num_threads",)

_ACCUMULATE = "TrainingArguments(gradient_accumulation_steps=…)"
_CACHE = "the environment variables MS_COMPILER_CACHE_ENABLE=1 and MS_COMPILER_CACHE_PATH"
_DUMP = "the environment variable MINDSPORE_DUMP_CONFIG, the path of a JSON file"
_PROFILER = "mindspore.profiler"

#: Field that MindSpore no longer takes -> what to use in its place.
GONE = {
    "precompile_only": "the environment variable MS_DEV_PRECOMPILE_ONLY=1",
    "enable_dump": _DUMP,
    "save_dump_path": _DUMP,
    "enable_profiling": _PROFILER,
    "profiling_options": _PROFILER,
    "save_compile_cache": _CACHE,
    "load_compile_cache": _CACHE,
    "enable_sparse": "nothing: sparse tensors need no setting",
    "grad_for_scalar": "a Tensor instead of the number to differentiate by",
    "auto_tune_mode": "mindspore.device_context.ascend.op_tuning.aoe_tune_mode",
    "enable_auto_mixed_precision": "mindspore.amp, or compute_dtype in the model's configuration",
}

#: Modes of MindSpore's compiler, which has none of them for the CPU; and the fields of ParallelContextConfig that speak
#: to it alone, with the values that ask for nothing.
_COMPILED_MODES = ("SEMI_AUTO_PARALLEL", "AUTO_PARALLEL")
_COMPILED_FIELDS = {
    "gradient_fp32_sync": True,
    "search_mode": "recursive_programming",
    "strategy_ckpt_load_file": "",
    "strategy_ckpt_save_file": "",
    "full_batch": False,
    "enable_parallel_optimizer": False,
    "parallel_optimizer_config": {},
    "enable_alltoall": False,
    "pipeline_stages": 1,
}


def apply_early(ms: Any, config: ContextConfig) -> None:
    """Apply the fields that come before the device's setup."""
    for name in EARLY:
        if getattr(config, name) is not None:
            _apply(ms, name, getattr(config, name))


def apply_context(ms: Any, config: ContextConfig) -> Iterator[tuple[type[Warning], str]]:
    """Apply the mode and every other field that was set; yield the warnings to give.

    Raises:
        ArgumentError: MindSpore refuses a value.
    """
    device = ms.get_context("device_target")
    given = {name for name in config.model_fields_set if getattr(config, name) is not None} | {"mode"}
    for name, setter in SETTERS.items():
        if name not in given or name in EARLY:
            continue
        value = getattr(config, name)
        if not setter.devices or device in setter.devices:
            _apply(ms, name, value)
        elif value:
            yield UserWarning, f"{name}={value!r} has no effect on {device}: it is for {' and '.join(setter.devices)}"
    for name, instead in GONE.items():
        if name in given:
            yield DeprecationWarning, _gone(name, instead)


def _gone(name: str, instead: str) -> str:
    return f"{name} has no effect: MindSpore no longer takes it; use {instead}"


def _apply(ms: Any, name: str, value: Any) -> None:
    try:
        SETTERS[name].apply(ms, value)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, BackendError):
            raise
        raise _refused(f"{name}={value!r}", value, error) from error


def _refused(what: str, value: Any, error: Exception) -> ArgumentError:
    lines = str(error).strip().splitlines()
    return ArgumentError(f"MindSpore refuses {what}", value=value, why=lines[0] if lines else type(error).__name__)


def apply_parallel(
    ms: Any, config: ParallelContextConfig, rank: int, size: int
) -> Iterator[tuple[type[Warning], str]]:
    """Apply the parallel settings that were set, instead of earlier ones; yield the warnings to give.

    Raises:
        ArgumentError: MindSpore refuses them.
    """
    given = config.model_dump(exclude_unset=True, exclude_none=True)
    if given.pop("grad_accumulation_step", 1) > 1:
        yield DeprecationWarning, _gone("grad_accumulation_step", _ACCUMULATE)
    settings = {**given, "parallel_mode": config.parallel_mode, "device_num": size, "global_rank": rank}
    if ms.get_context("device_target") == "CPU":
        settings = {name: value for name, value in settings.items() if name not in _COMPILED_FIELDS}
        asked = [name for name, default in _COMPILED_FIELDS.items() if given.get(name, default) != default]
        if config.parallel_mode in _COMPILED_MODES:
            settings = {"parallel_mode": "STAND_ALONE", "device_num": size, "global_rank": rank}
            yield UserWarning, (
                f"MindSpore compiles no {config.parallel_mode} on CPU and stays in STAND_ALONE mode; "
                "what you asked for is kept in mf_core.context.current()"
            )
        elif asked:
            yield UserWarning, (
                f"MindSpore has no {', '.join(asked)} on CPU; what you asked for is kept in mf_core.context.current()"
            )
    settings["parallel_mode"] = settings["parallel_mode"].lower()
    if settings == _state["parallel"]:
        return  # setting them again would discard compiled graphs
    leave_parallel(ms)
    try:
        ms.set_auto_parallel_context(**settings)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        ms.reset_auto_parallel_context()
        raise _refused("the parallel settings", settings, error) from error
    _state["parallel"] = settings


def leave_parallel(ms: Any) -> None:
    """Undo what an earlier :func:`apply_parallel` set."""
    if _state["parallel"] is not None:
        ms.reset_auto_parallel_context()
        _state["parallel"] = None
