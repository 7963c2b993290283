"""The cluster that a process belongs to: whether it was started in one, how to start one, and joining it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from ..errors import ArgumentError, BackendError
from .config import ParallelContextConfig

#: Launcher -> the variables that it sets.
_LAUNCHERS = {
    "msrun": ("MS_ROLE", "MS_WORKER_NUM", "MS_SCHED_HOST", "MS_SCHED_PORT"),
    "mpirun": ("OMPI_COMMAND", "PMIX_RANK"),
}

#: What described a cluster of Ascends to MindSpore before 2.10, which refuses it.
_RANK_TABLES = ("RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH")


def _missing(launcher: str) -> list[str]:
    return [name for name in _LAUNCHERS[launcher] if not os.environ.get(name)]


def is_clustered() -> bool:
    """Return whether this process was started as one of a cluster."""
    return not all(_missing(launcher) for launcher in _LAUNCHERS)


def check_started(parallel: ParallelContextConfig) -> None:
    """Raise BackendError, with the command to type, where this process was not started as one of a cluster."""
    if is_clustered():
        return
    missing = {launcher: _missing(launcher) for launcher in _LAUNCHERS}
    table = next((f"; MindSpore takes no {name} any more" for name in _RANK_TABLES if os.environ.get(name)), "")
    raise BackendError(
        "use_parallel=True, but this process was not started as one of a cluster", value=True,
        why=f"msrun sets {', '.join(_LAUNCHERS['msrun'])}; not set: {', '.join(missing['msrun'])}{table}",
        hint=f"{launch_command(parallel.device_num if parallel.device_num > 1 else 2)}; or use_parallel=False",
    )  # fmt: skip


def launch_command(workers: int) -> str:
    """Return the lines, of ``mf launch`` or ``msrun``, that start ``workers`` processes of the running script here."""
    script, *arguments = sys.argv or [""]
    if not os.path.isfile(script):  # ``python -c``, an interactive session, a notebook
        script, arguments = "your_script.py", []
    launch = shlex.join(["mf", "launch", "--workers", str(workers), script, *arguments])
    command = ["msrun", f"--worker_num={workers}", f"--local_worker_num={workers}", "--join=True"]
    line = shlex.join([*command, "--log_dir=output/msrun_log", script, *arguments])
    folder = Path(sys.executable).parent
    found = shutil.which("python")  # which is what msrun starts
    if not found or Path(found).parent != folder:
        line = f"PATH={shlex.quote(str(folder))}:$PATH {line}"
    return f"{launch}; or {line}"


def check_agrees(parallel: ParallelContextConfig, size: int | None, rank: int | None = None) -> None:
    """Raise ArgumentError where the user gave another size of the cluster, or rank, than what is known of it."""
    asked = parallel.device_num if "device_num" in parallel.model_fields_set else None
    if None not in (asked, size) and asked != size:
        raise ArgumentError(
            f"device_num={asked}, but the cluster has {size} processes", value=asked,
            hint=f"leave device_num out, or start that many: {launch_command(parallel.device_num)}",
        )  # fmt: skip
    if None not in (parallel.global_rank, rank) and parallel.global_rank != rank:
        raise ArgumentError(
            f"global_rank={parallel.global_rank}, but this process has rank {rank}", value=parallel.global_rank,
            hint="leave global_rank out",
        )  # fmt: skip


def announced_size() -> int | None:
    """Return the number of processes that the launcher set, before the cluster is joined; None if it set none."""
    text = os.environ.get("MS_WORKER_NUM") or os.environ.get("OMPI_COMM_WORLD_SIZE") or ""
    return int(text) if text.isdecimal() else None


def join() -> tuple[int, int]:
    """Join the cluster, once, and return this process's rank and the number of processes.

    In the scheduler, which msrun starts beside the workers, the call serves the cluster and then ends the process.

    Raises:
        BackendError: The cluster cannot be formed.
    """
    from mindspore import communication

    try:
        if not communication.GlobalComm.INITED:
            communication.init()
        return communication.get_rank(), communication.get_group_size()
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise BackendError("the cluster cannot be joined", why=lines[0] if lines else None) from error
