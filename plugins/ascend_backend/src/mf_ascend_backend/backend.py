"""The Ascend backend."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mf_core import DeviceBackend
from mf_core.backends import Probe
from mf_core.errors import BackendError

from . import chips
from .host import Host
from .probe import probe, visible_count

if TYPE_CHECKING:
    from mf_core.config import PretrainedConfig


class AscendBackend(DeviceBackend):
    """MindSpore on Ascend processors: computes in fp16, speaks by HCCL.

    Environment variables:
        MF_ASCEND_TRUST: Comma-separated pieces of ``mf doctor --backend ascend`` that may be missing, where you know
            better than the probe.
        MF_DETERMINISTIC: ``1`` asks MindSpore and HCCL for the same bits from the same input; it is slower.
        ASCEND_RT_VISIBLE_DEVICES: CANN's own: the numbers of the devices to use.
        GLOG_v: MindSpore's log level, if you want more than errors.
        MS_OM_PATH: Where MindSpore writes its record of a failed compilation; default: the temporary directory.
    """

    name: ClassVar[str] = "ascend"
    default_dtype: ClassVar[str] = "float16"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    kernels: ClassVar[tuple[str, ...]] = ("causal_attention", "fused_adamw", "rms_norm")

    def __init__(self) -> None:
        self._device: int | None = None

    def probe(self) -> Probe:
        """See the base class."""
        return probe(Host())

    def import_environment(self) -> Mapping[str, str]:
        """Keep MindSpore's log to errors: what its warnings of versions say, ``mf doctor --backend ascend`` says."""
        return {"GLOG_v": "3"}

    def setup(self, device_id: int) -> None:
        """Select the device, and compile graphs kernel by kernel.

        That is MindSpore's level O0, which every step of the core is compiled at: each operator is one of CANN's
        kernels, with shapes that may change. O1 also fuses operators, and MindSpore calls it experimental; O2 hands
        whole graphs to CANN's engine, which takes no changing shapes. Operators keep the type they are given, as
        MindSpore has it.

        Raises:
            BackendError: There is no such device, MindSpore's plugin does not load, or the process uses another device.
        """
        count = visible_count(Host())
        if not 0 <= device_id < count:
            raise BackendError(
                f"there is no ascend device {device_id}", value=device_id,
                why=f"{count} can be used here, numbered from 0",
                hint="`mf doctor --backend ascend` shows them; ASCEND_RT_VISIBLE_DEVICES may hide some",
            )  # fmt: skip
        import mindspore as ms
        from mindspore._c_expression import OffloadContext

        # MindSpore makes a folder for arrays that do not fit as soon as there is a device, and no public call says
        # where; and when a graph does not compile, it writes rank_0/om/analyze_fail.ir: both into the working directory
        # if it is not told otherwise. It reads the variable at that moment, so it has to stay set.
        folder = Path(tempfile.gettempdir()) / f"mindspore-{os.getpid()}"
        OffloadContext.get_instance().set_offload_path(str(folder / "offload"))
        os.environ.setdefault("MS_OM_PATH", str(folder))
        try:
            ms.set_device("Ascend", device_id)
        except RuntimeError as error:
            raise _refused(error) from error
        ms.set_context(jit_config={"jit_level": "O0"})
        if os.environ.get("MF_DETERMINISTIC") == "1":
            ms.set_deterministic(True)
        self._device = device_id

    def compute_dtype(self, config: PretrainedConfig) -> str:
        """See the base class. The first Ascend 910 has no bfloat16."""
        dtype = super().compute_dtype(config)
        family = chips.family_on_the_bus(Host()) if dtype == "bfloat16" else None
        if family is not None and not family.bfloat16:
            raise BackendError(
                f"{family.name} cannot compute in bfloat16", value=dtype, hint="set compute_dtype to float16 or float32"
            )
        return dtype

    def describe(self) -> str:
        """See the base class."""
        device = "" if self._device is None else f" {self._device} ({self.chip()})"
        return f"{self.name}{device}, {self.default_dtype}"

    def chip(self) -> str:
        """Return the chip's name, ``"Ascend910B3"``. The backend has to be set up."""
        import mindspore as ms

        return str(ms.hal.get_device_name(self._device or 0, "Ascend"))

    def memory_used(self) -> int:
        """Return the most bytes that the process's arrays took on the device at a time."""
        import mindspore as ms

        return int(ms.runtime.max_memory_allocated())

    def memory_total(self) -> int | None:
        """See the base class. Known from the first operation on."""
        return self._memory("total_memory")

    def memory_left(self) -> int | None:
        """Return what the device has free and what MindSpore holds of it without using it."""
        import mindspore as ms

        free = self._memory("free_memory")
        return None if free is None else free + int(ms.runtime.memory_reserved() - ms.runtime.memory_allocated())

    def _memory(self, kind: str) -> int | None:
        """Return a property of the device, which is 0 before it is initialised."""
        import mindspore as ms

        return int(getattr(ms.hal.get_device_properties(self._device or 0, "Ascend"), kind)) or None

    def peak_flops(self, dtype: str) -> float | None:
        """Return what is published of the chip, or quoted of that; there is no figure for fp32."""
        return chips.peak_flops(self.chip(), dtype)

    def capability(self, name: str) -> Callable[..., Any] | None:
        """See the base class. The chips of the Atlas A2 and A3 have all of :attr:`kernels`, others none."""
        if name not in self.kernels or not chips.family_of(self.chip()).kernels:
            return None
        from .kernels import KERNELS

        return KERNELS[name]


def _refused(error: RuntimeError) -> BackendError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    loading = [line for line in lines if line.startswith("Load dynamic library")]
    if loading:
        return BackendError(
            "MindSpore's Ascend plugin does not load", why=loading[0],
            hint="`mf doctor --backend ascend` shows each piece",
        )  # fmt: skip
    return BackendError(
        "this process uses another device already", why=lines[0] if lines else None,
        hint="make the first model, or call init_context, before calling MindSpore yourself",
    )  # fmt: skip
