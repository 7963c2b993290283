"""How many processor cores this process has been given."""

from __future__ import annotations

import math
import os
from pathlib import Path

from mf_core.errors import ConfigError


def core_count(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of threads to use: ``$MF_NUM_THREADS``, or the cores of the affinity mask and cgroup quota.

    Raises:
        ConfigError: ``MF_NUM_THREADS`` is not a positive whole number.
    """
    asked = os.environ.get("MF_NUM_THREADS")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ConfigError(f"MF_NUM_THREADS={asked!r} is not a positive whole number", value=asked)
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(cgroup) or cores))


def _quota(cgroup: Path) -> int | None:
    """Return the container's CPU quota rounded up, or None where there is none (cgroup v2, then v1)."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit():  # "max" and "-1" stand for no limit
        return None
    return math.ceil(int(quota) / int(period))
