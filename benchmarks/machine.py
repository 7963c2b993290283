"""What the machine can do, and how much of it others took while it was measured."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from mf_cpu_backend.cores import core_count

#: Distributions whose versions belong to figures.
_DISTRIBUTIONS = ("mf-framework", "mindspore", "torch", "transformers", "ctranslate2", "onnxruntime", "numpy")
#: From this share on, what others took may have changed a figure.
NOISY = 0.1


def describe() -> dict:
    """Return the processor, how many cores this process may use, and versions."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    versions = {name: installed[name] for name in _DISTRIBUTIONS if name in installed}
    return {
        "processor": names[0] if names else platform.machine(), "cores": core_count(),
        "versions": {"python": sys.version.split()[0], **versions},
    }  # fmt: skip


def limits(gigabytes: float = 0.5, size: int = 1024) -> Callable[[], dict]:
    """Return what measures the bytes that are read a second, and operations a second of a product of matrices.

    Both by all cores together, the fastest of some tries: sums over ``gigabytes``; torch's product of two matrices of
    ``size`` x ``size`` in fp32, two operations for each number multiplied and added.
    """
    import numpy as np
    import torch

    count = core_count()
    torch.set_num_threads(count)
    parts = np.array_split(np.ones(int(gigabytes * 1e9 / 8)), count * 8)
    left, right = torch.rand(size, size), torch.rand(size, size)

    def fastest(run: Callable[[], object], tries: int) -> float:
        times = []
        for _ in range(tries):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    def answer() -> dict:
        with ThreadPoolExecutor(count) as pool:
            read = fastest(lambda: list(pool.map(np.sum, parts)), 3)
        product = fastest(lambda: left @ right, 10)
        return {"memory": sum(part.nbytes for part in parts) / read, "products": 2 * size**3 / product}

    return answer


@dataclass(frozen=True)
class Round:
    """How the machine's time was spent in a round of a benchmark.

    Attributes:
        benchmark, seconds: Which, by its name or names, and how long it took.
        idle_before: The share that was idle in the half second before it, when nothing of ours ran.
        stolen: The share that the host gave to other machines.
        others: The share that processes other than ours took.
    """

    benchmark: str
    seconds: float
    idle_before: float
    stolen: float
    others: float

    @property
    def noisy(self) -> bool:
        return max(1 - self.idle_before, self.stolen, self.others) > NOISY


class Rounds:
    """Counts rounds, and keeps what the machine did in each."""

    def __init__(self) -> None:
        self.seen: list[Round] = []

    def __call__(self, benchmark: str, count: int) -> Iterator[int]:
        """Yield 0 to ``count`` - 1; ``benchmark`` is the name, or names with a space between, that rows have."""
        for number in range(count):
            print(f"{benchmark}: round {number + 1} of {count}", file=sys.stderr, flush=True)
            quiet = _Times()
            time.sleep(0.5)
            start = _Times()
            yield number
            end = _Times()
            total = max(end.total - start.total, 1e-9)
            ours = end.ours - start.ours
            self.seen.append(Round(
                benchmark, end.clock - start.clock,
                idle_before=(start.idle - quiet.idle) / max(start.total - quiet.total, 1e-9),
                stolen=(end.stolen - start.stolen) / total,
                others=max(0.0, (end.busy - start.busy - ours) / total),
            ))  # fmt: skip

    def summary(self) -> list[str]:
        """Return a line for each benchmark."""
        lines = []
        for name in dict.fromkeys(each.benchmark for each in self.seen):
            mine = [each for each in self.seen if each.benchmark == name]
            noisy = sum(each.noisy for each in mine)
            shares = ", ".join(
                f"{what} {_spread([getattr(each, field) for each in mine])}"
                for what, field in (("idle before", "idle_before"), ("others", "others"), ("stolen", "stolen"))
            )
            verdict = f"NOISY in {noisy} of {len(mine)} rounds" if noisy else "quiet"
            lines.append(f"{name}: {shares}; {verdict}")
        return lines

    def as_json(self) -> list[dict]:
        return [{**asdict(each), "noisy": each.noisy} for each in self.seen]


class _Times:
    """Seconds of processor time since the machine started, and those of this process and its descendants."""

    def __init__(self) -> None:
        tick = os.sysconf("SC_CLK_TCK")
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
        user, nice, system, idle, waiting, irq, soft, stolen = (int(value) / tick for value in first.split()[1:9])
        self.clock = time.perf_counter()
        self.idle, self.stolen, self.busy = idle + waiting, stolen, user + nice + system + irq + soft
        self.total = self.idle + self.stolen + self.busy
        self.ours = _seconds_of_ours() / tick


def _seconds_of_ours() -> int:
    """Return the ticks of this process and all below it, those that have ended included."""
    parents, ticks = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))  # its own and those of its ended children
    own, found = 0, [os.getpid()]
    while found:
        number = found.pop()
        own += ticks[number]
        found += [child for child, parent in parents.items() if parent == number]
    return own


def _spread(shares: list[float]) -> str:
    return f"{statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})"
