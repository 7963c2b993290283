"""The Ascend chips: how to tell them, what they can compute in, how fast they say they are."""

from __future__ import annotations

from dataclasses import dataclass

from .host import Host


@dataclass(frozen=True)
class Family:
    """Chips of one generation.

    Attributes:
        name: What Huawei calls the servers' generation.
        kernels: Whether CANN has the fused kernels of :mod:`mf_ascend_backend.kernels` for it.
        bfloat16: Whether it computes in bfloat16.
    """

    name: str
    kernels: bool
    bfloat16: bool


A1 = Family("Ascend 910 (Atlas training series)", kernels=False, bfloat16=False)
A2 = Family("Ascend 910B (Atlas A2)", kernels=True, bfloat16=True)
A3 = Family("Ascend 910C (Atlas A3)", kernels=True, bfloat16=True)
OTHER = Family("Ascend", kernels=False, bfloat16=True)

#: Beginning of the name that the driver gives a chip -> its family. The longer ones come first.
_NAMES = {"Ascend910B": A2, "Ascend910_93": A3, "Ascend910": A1}

#: Device of Huawei's (vendor 0x19e5) on the PCI bus -> family.
_PCI = {"0xd801": A1, "0xd802": A2, "0xd803": A3}

#: Operations a second in fp16 and, where there is bf16, in bf16. That of the first Ascend 910 is Huawei's ("Hot Chips
#: 31", 2019). The others are quoted at second hand: 376 and 313 of the Atlas 800T A2's white paper, whose text does not
#: name the chips, 280 of the Atlas 800I A2; a 93xx is one of two dies, and has half of what is said of its package. Of
#: fp32 and of other chips no figure was found that could be trusted.
_PEAKS = {
    "Ascend910A": 256e12,
    "Ascend910ProA": 256e12,
    "Ascend910PremiumA": 256e12,
    "Ascend910B2": 376e12,
    "Ascend910B2C": 376e12,
    "Ascend910B3": 313e12,
    "Ascend910B4": 280e12,
    "Ascend910B4-1": 280e12,
    "Ascend910_9391": 376e12,
    "Ascend910_9392": 376e12,
}


def family_of(chip: str) -> Family:
    """Return a chip's family.

    Args:
        chip: As MindSpore tells it: ``"Ascend910B3"``.
    """
    return next((family for start, family in _NAMES.items() if chip.startswith(start)), OTHER)


def peak_flops(chip: str, dtype: str) -> float | None:
    """Return the operations a second that a chip is said to do in a type; None: there is no such figure."""
    if dtype == "float16" or (dtype == "bfloat16" and family_of(chip).bfloat16):
        return _PEAKS.get(chip)
    return None


def family_on_the_bus(host: Host) -> Family | None:
    """Return the family of the first Ascend that the kernel lists, without touching it; None: it lists none."""
    devices = host.path("/sys/bus/pci/devices")
    try:
        entries = sorted(entry.name for entry in devices.iterdir())
    except OSError:
        return None
    for entry in entries:
        if host.read(f"/sys/bus/pci/devices/{entry}/vendor").strip() == "0x19e5":
            family = _PCI.get(host.read(f"/sys/bus/pci/devices/{entry}/device").strip())
            if family is not None:
                return family
    return None
