"""The CPU backend."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import resource
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mf_core import DeviceBackend
from mf_core.backends import Check, Probe, check_package, first_missing
from mf_core.errors import BackendError, ConfigError

from .cores import core_count
from .kernels import processor_level, unavailable
from .speed import measured_flops

if TYPE_CHECKING:
    from .collectives import CPUCollectives


class CPUBackend(DeviceBackend):
    """MindSpore on the CPU: always there, computes in fp32 unless asked for another type.

    In bfloat16 the products of linear layers are of numbers that are rounded to it, summed in fp32, and everything else
    is fp32: MindSpore has no bfloat16 operators here. It is faster where the processor has AMX.

    Environment variables:
        MF_NUM_THREADS: Threads to compute with; default: the cores that affinity and container quota give. MindSpore
            always has its own pool beside the calling thread, so 1 still lets two threads run; to hold a process
            to one core, bind it (``taskset``) or limit its container.
        MF_CPU_LEVEL: Which kernels to use: ``x86-64-v4-amx`` (AVX-512 and AMX), ``x86-64-v4`` (AVX-512), ``x86-64-v3``
            (AVX2) or ``x86-64``; default: the best that the processor has.
        GLOG_v: MindSpore's log level, if you want more than errors.
        MS_OM_PATH: Where MindSpore writes its record of a failed compilation; default: the temporary directory.
    """

    name: ClassVar[str] = "cpu"
    default_dtype: ClassVar[str] = "float32"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    kernels: ClassVar[tuple[str, ...]] = (
        "layer_norm", "rms_norm", "bias_add", "softmax", "gelu", "swish", "rotary", "cross_entropy", "self_attention",
        "cached_attention", "write_cache", "linear", "linear_outputs_first", "bfloat16_linear",
        "bfloat16_linear_outputs_first", "weight_only_linear", "weight_only_rows", "decoder_pass", "sum_of_squares",
        "fused_adamw",
    )  # fmt: skip

    def probe(self) -> Probe:
        """See the base class."""
        missing = importlib.util.find_spec("mindspore") is None
        remedy = "pip install --force-reinstall mf-cpu-backend"
        threads = str(core_count())
        checks = (
            check_package("mindspore", "2.10", "2.11", remedy, required=missing),
            check_package("numpy", "1.25", "2", "pip install 'numpy<2'", required=False),
            Check("threads", True, threads),
            _check_kernels(),
        )
        if missing:
            return Probe(False, reason=first_missing(checks), checks=checks)
        details = {"processor": _processor(), "threads": threads}
        return Probe(True, device_count=1, details=details, checks=checks)

    def import_environment(self) -> Mapping[str, str]:
        """Keep MindSpore's log to errors: its warnings speak to MindSpore's developers."""
        return {"GLOG_v": "3"}

    def setup(self, device_id: int) -> None:
        """Select the CPU, and as many threads as there are cores."""
        if device_id != 0 and "MS_ROLE" not in os.environ:  # msrun numbers its processes so; they share the device
            raise BackendError(
                f"there is no cpu device {device_id}", value=device_id, why="the cpu backend has one device, 0"
            )
        import mindspore as ms

        # When a graph does not compile, MindSpore writes rank_0/om/analyze_fail.ir here, or else into the working
        # directory. It reads the variable at that moment, so it has to stay set.
        os.environ.setdefault("MS_OM_PATH", str(Path(tempfile.gettempdir()) / f"mindspore-{os.getpid()}"))
        in_use = ms.get_context("device_target")
        try:
            ms.set_device("CPU", device_id)
        except RuntimeError as error:  # MindSpore has computed already, which settles its device
            if in_use != "CPU":
                raise BackendError(
                    f"MindSpore computes on {in_use} in this process already", value=in_use,
                    hint="make the first model before calling MindSpore yourself, or set its device to CPU",
                ) from error
        # The thread that calls works along with the kernels' pool, so the pool is one smaller than the cores given.
        pool = max(1, core_count() - 1)
        for set_threads, count in (
            (ms.device_context.cpu.op_tuning.threads_num, pool),
            (ms.runtime.dispatch_threads_num, 1),
        ):
            with suppress(RuntimeError):  # raised when the user has set it already, and then it is theirs
                set_threads(count)

    def activation_dtype(self, dtype: str) -> str:
        """See the base class."""
        return "float32" if dtype == "bfloat16" else dtype

    def describe(self) -> str:
        """See the base class."""
        threads = core_count()
        return f"{self.name}, {threads} thread{'s' if threads > 1 else ''}, {self.default_dtype}"

    def memory_total(self) -> int | None:
        """See the base class."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def memory_left(self) -> int | None:
        """Return the least of what the machine has available and what the process's own limit leaves."""
        try:
            available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
            used = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        except OSError:
            return None
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        left = [int(available[1]) * 1024] if available else []
        if used and limit != resource.RLIM_INFINITY:
            left.append(limit - int(used[1]) * 1024)
        return min(left, default=None)

    def collectives(self, ranks: Sequence[int], rank: int) -> CPUCollectives:
        """See the base class."""
        from .collectives import CPUCollectives

        return CPUCollectives(ranks, rank)

    def peak_flops(self, dtype: str) -> float | None:
        """Return the speed of a product of two matrices, measured once a process for each type; it takes 0.2 s."""
        return measured_flops(dtype)

    def capability(self, name: str) -> Callable[..., Any] | None:
        """See the base class."""
        from .kernels import load  # imports MindSpore's operators

        return load().get(name)


def _check_kernels() -> Check:
    try:
        why = unavailable()
    except ConfigError as error:
        return Check("native kernels", False, error.what, remedy=f"MF_CPU_LEVEL: {error.hint}", required=False)
    remedy = "install a C++ compiler, then: pip install --force-reinstall --no-binary mf-cpu-backend mf-cpu-backend"
    return Check("native kernels", not why, why or processor_level(), remedy=remedy if why else "", required=False)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
