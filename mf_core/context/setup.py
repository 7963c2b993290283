"""Setting up a process: device, execution mode, cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from ..backends.base import DeviceBackend, get_backend, import_mindspore, select_backend
from ..boundary import public
from ..errors import ArgumentError, ArgumentTypeError, BackendError
from ..utils.callers import callers_level
from ..utils.settings import Settings
from . import cluster, fields
from .config import ContextConfig, ParallelContextConfig
from .state import Context, ParallelSettings, record

S = TypeVar("S", bound=Settings)

_said: set[str] = set()


@public
def init_context(
    use_parallel: bool = False,
    context_config: ContextConfig | Mapping[str, Any] | None = None,
    parallel_config: ParallelContextConfig | Mapping[str, Any] | None = None,
) -> tuple[int, int]:
    """Set up the device, MindSpore's execution mode and, with ``use_parallel``, this process's rank in a cluster.

    The mode is always set (graphs, unless the configuration says otherwise); of the rest, what the configuration sets.
    May be called again: what is the same is left, what is different is set, and the device cannot change.
    :func:`mf_core.context.current` tells later what was settled.

    On CPU, MindSpore compiles neither SEMI_AUTO_PARALLEL nor AUTO_PARALLEL. There the mode that is asked for is kept in
    ``current().parallel`` for those who read it, such as the Trainer, MindSpore itself stays in STAND_ALONE mode, and a
    warning says so once. The same goes for the optimizer's parallelism.

    Args:
        use_parallel: Whether to join the cluster in which ``msrun`` started this process.
        context_config: A :class:`ContextConfig`, or a dict of its fields. It is not changed.
        parallel_config: A :class:`ParallelContextConfig`, or a dict of its fields. It is not changed. Used together
            with ``use_parallel`` only.

    Returns:
        The rank of this process and the number of processes; ``(0, 1)`` without ``use_parallel``.

    Raises:
        ArgumentError: A field is unknown or out of range, or does not agree with the cluster.
        ArgumentTypeError: An argument is of the wrong type.
        BackendError: The device is not available or cannot change; or the process was not started in a cluster, and
            then the error gives the command to type.

    Warns:
        DeprecationWarning: A field is set that MindSpore no longer takes; the warning says what to use.
        UserWarning: A field is set that has no effect here.
    """
    if not isinstance(use_parallel, bool):
        raise ArgumentTypeError(f"use_parallel={use_parallel!r} is neither True nor False", value=use_parallel)
    config = _settings(ContextConfig, context_config, "context_config")
    parallel = _settings(ParallelContextConfig, parallel_config, "parallel_config")
    if use_parallel:
        cluster.check_started(parallel)
        cluster.check_agrees(parallel, cluster.announced_size())  # ahead of joining, while none waits for the others
    ms = _set_up_device(config, use_parallel)
    said = list(fields.apply_context(ms, config))
    if use_parallel:
        rank_id, device_num = cluster.join()
        cluster.check_agrees(parallel, device_num, rank_id)
        said += fields.apply_parallel(ms, parallel, rank_id, device_num)
        given = parallel.model_dump(exclude_unset=True)
        settings = ParallelSettings(**{**given, "device_num": device_num, "global_rank": rank_id})
        record(Context(rank_id, device_num, True, settings))
    else:
        rank_id, device_num = 0, 1
        if parallel.parallel_mode != "STAND_ALONE":
            said.append((UserWarning, f"parallel_mode={parallel.parallel_mode!r} has no effect: use_parallel is False"))
        fields.leave_parallel(ms)
        record(Context())
    for category, message in said:
        if category is DeprecationWarning or message not in _said:
            _said.add(message)
            warnings.warn(message, category, stacklevel=callers_level())
    return rank_id, device_num


def leave_compiler() -> bool:
    """Turn off MindSpore's parallel modes, for code that shards models itself.

    Returns:
        Whether it was in one that compiles parallelism into graphs.
    """
    ms = import_mindspore()
    mode = str(ms.get_auto_parallel_context("parallel_mode"))
    if mode != "stand_alone":
        fields.leave_parallel(ms)
    return mode in ("semi_auto_parallel", "auto_parallel")


def _settings(cls: type[S], given: Any, name: str) -> S:
    if isinstance(given, cls):
        return given
    if given is None:
        return cls()
    if isinstance(given, Mapping) and all(isinstance(key, str) for key in given):
        return cls(**given)
    raise ArgumentTypeError(
        f"{name} is a {type(given).__name__}", value=given, why=f"it must be a {cls.__name__} or a dict of its fields"
    )


def _set_up_device(config: ContextConfig, clustered: bool) -> Any:
    """Make the backend ready, and return mindspore."""
    backend = select_backend(config.device_target)
    device_id = _device_id(config, backend, clustered)
    ms = import_mindspore()
    fields.apply_early(ms, config)
    get_backend(config.device_target, device_id)
    in_use = ms.get_current_device().device_id
    if "device_id" in config.model_fields_set and in_use != device_id:
        raise BackendError(
            f"this process uses device {in_use}; it cannot change to {device_id}", value=device_id,
            hint="call init_context before the first model is made, or start another process",
        )  # fmt: skip
    return ms


def _device_id(config: ContextConfig, backend: DeviceBackend, clustered: bool) -> int:
    """Return the number of this process's device. In a cluster, the launcher assigns it."""
    if not clustered:
        return config.device_id
    text = os.environ.get("DEVICE_ID") or "0"
    local = int(text) if text.isdecimal() else 0
    if "device_id" in config.model_fields_set and config.device_id not in (0, local):
        raise ArgumentError(
            f"device_id={config.device_id}, but the launcher put this process on device {local}",
            value=config.device_id, hint="leave device_id out",
        )  # fmt: skip
    return local if backend.probe().device_count > 1 else 0
