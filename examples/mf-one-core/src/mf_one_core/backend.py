"""The backend: MindSpore on the CPU, with every thread of the process held to one core."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from mf_core import DeviceBackend
from mf_core.backends import Check, Probe, check_package, first_missing
from mf_core.errors import BackendError, UnsupportedError


class OneCoreBackend(DeviceBackend):
    """One core of the CPU, in fp32: for times that can be compared, and a machine that stays usable.

    Each core that the process may use is a device: device 1 is the second of them. MindSpore computes with a pool of
    one thread beside the calling one; both are bound to the core, as are all other threads of the process, and those
    that they start later.
    """

    name: ClassVar[str] = "one_core"
    default_dtype: ClassVar[str] = "float32"
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def __init__(self) -> None:
        self._bound: int | None = None

    def probe(self) -> Probe:
        """See the base class."""
        missing = importlib.util.find_spec("mindspore") is None
        cores = usable_cores()
        checks = (
            Check("affinity", bool(cores), f"{len(cores)} cores" if cores else "not on this system", "Linux",
                  "use the cpu backend"),
            check_package("mindspore", "2.10", "2.11", "pip install 'mindspore>=2.10,<2.11'", required=missing),
        )  # fmt: skip
        reason = first_missing(checks)
        if reason:
            return Probe(False, reason=reason, checks=checks)
        return Probe(True, device_count=len(cores), details={"cores": ", ".join(map(str, cores))}, checks=checks)

    def import_environment(self) -> Mapping[str, str]:
        """Keep MindSpore's log to errors: it warns that one thread is few."""
        return {"GLOG_v": "3"}

    def setup(self, device_id: int) -> None:
        """See the base class; raise BackendError for a core that the process may not use."""
        cores = usable_cores() if self._bound is None else [self._bound]
        if not 0 <= device_id < len(cores):
            raise BackendError(
                f"there is no one_core device {device_id}", value=device_id,
                why=f"the process may use {len(cores)} cores, which are the devices 0 to {len(cores) - 1}",
                hint="`taskset -p PID` shows which",
            )  # fmt: skip
        import mindspore as ms

        # Where a graph does not compile, MindSpore writes its record of it here, or else into the working directory.
        os.environ.setdefault("MS_OM_PATH", str(Path(tempfile.gettempdir()) / f"mindspore-{os.getpid()}"))
        ms.set_device("CPU", 0)
        for set_threads in (ms.device_context.cpu.op_tuning.threads_num, ms.runtime.dispatch_threads_num):
            with suppress(RuntimeError):  # raised when the user has set it already, and then it is theirs
                set_threads(1)
        self._bound = cores[device_id]
        bind(self._bound)

    def describe(self) -> str:
        """See the base class."""
        return f"{self.name}, {'not bound' if self._bound is None else f'core {self._bound}'}, {self.default_dtype}"

    def collectives(self, ranks: Sequence[int], rank: int) -> Any:
        """See the base class: there are none for several processes."""
        if len(ranks) > 1:
            _no_cluster(len(ranks))
        return super().collectives(ranks, rank)


def usable_cores() -> list[int]:
    """Return the numbers of the cores that the process may use; none where the system cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def bind(core: int) -> None:
    """Hold every thread of the process to a core; threads that they start inherit it."""
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended in the meantime
            os.sched_setaffinity(int(thread), {core})


def _no_cluster(processes: int) -> NoReturn:
    raise UnsupportedError(
        f"the one_core backend does not serve a cluster of {processes} processes", value=processes,
        why="MindSpore lacks some collective operations on CPU, and this example adds none",
        hint="use the cpu backend",
    )  # fmt: skip
