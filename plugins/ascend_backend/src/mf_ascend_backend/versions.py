"""Which MindSpore goes with which CANN and driver."""

from __future__ import annotations

from mf_core.backends import numbers

#: MindSpore -> the CANN and the driver that its release was made with, as the installation page of MindSpore
#: Transformers lists them (https://www.mindspore.cn/mindformers/docs/en/r1.9.0/installation.html). For 2.10, CANN is
#: the version that the operators in MindSpore's wheel say they were compiled with; no driver had been listed yet.
MATCHES: dict[str, tuple[str, str]] = {
    "2.10.0": ("9.1.0", ""),
    "2.9.0": ("9.0.0", "26.0.RC1"),
    "2.7.2": ("8.5.0", "25.5.0"),
    "2.7.1": ("8.3.RC1", "25.3.RC1"),
    "2.7.0": ("8.2.RC1", "25.2.0"),
    "2.6.0": ("8.1.RC1", "25.0.RC1"),
    "2.4.10": ("8.0.0", "24.1.0"),
}

#: What MindSpore 2.10 itself accepts without a warning (its ``run_check``), and which of them its wheel was made with.
CANN = ("8.2", "8.3", "8.5", "9.0", "9.1")
CANN_BUILT_WITH = "9.1"

#: Below this, MindSpore goes without virtual device memory.
DRIVER = "24.0.0"

GUIDE = "https://www.mindspore.cn/install"
CANN_GUIDE = "https://www.hiascend.com/document (CANN, Software Installation)"


def short(version: str) -> str:
    """Return the first two numbers: ``"8.3.RC1"`` gives ``"8.3"``."""
    return ".".join(str(number) for number in numbers(version)[:2])


def mindspore_for(cann: str) -> str:
    """Return the newest MindSpore that was made with a version of CANN; empty where none is known."""
    return next((name for name, (made_with, _) in MATCHES.items() if short(made_with) == short(cann)), "")
