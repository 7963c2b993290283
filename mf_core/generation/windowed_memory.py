"""Memory for the cache of windowed layers, which is given back as tokens leave the window."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

import numpy as np

#: Tokens that are kept beyond the window: a text may be shortened by as many without being computed again.
SLACK = 512


@dataclass
class WindowedMemory:
    """Keys or values of a windowed layer: ``(B, G, C, D)`` fp32, of which old slots take no memory.

    Args:
        shape: B, G, C, D.
        window: Tokens that a token attends to, its own included; 0: all, and nothing is given back.

    Attributes:
        array: The memory; it is taken as it is written.
    """

    shape: tuple[int, int, int, int]
    window: int
    array: np.ndarray = field(init=False)
    _map: mmap.mmap | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        size = 4 * int(np.prod(self.shape))
        if self.window and hasattr(mmap, "MADV_DONTNEED") and self.kept < self.shape[2]:
            self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self.array = np.frombuffer(self._map, np.float32).reshape(self.shape)
        else:
            self.array = np.zeros(self.shape, np.float32)

    @property
    def kept(self) -> int:
        """Tokens before the end of a text that are kept at least."""
        return self.window + SLACK

    def release(self, row: int, start: int, end: int) -> int:
        """Give back the memory of a row's slots from ``start`` to ``end``; return where those that are kept begin.

        Nothing is done, and ``start`` returned, where little would be given back.
        """
        if self._map is None or end - start < SLACK:
            return start
        groups, capacity, width = self.shape[1:]
        for group in range(row * groups, (row + 1) * groups):
            first, last = (4 * width * (group * capacity + slot) for slot in (start, end))
            first, last = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, last // mmap.PAGESIZE * mmap.PAGESIZE
            if last > first:
                self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
        return end
