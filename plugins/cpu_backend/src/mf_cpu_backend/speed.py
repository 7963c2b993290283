"""How fast this processor multiplies matrices: what training's speed is compared with."""

from __future__ import annotations

import time
from functools import lru_cache


@lru_cache
def measured_flops(dtype: str) -> float:
    """Return floating-point operations a second of MindSpore's matrix product, the best of several.

    Args:
        dtype: ``"float32"`` or ``"float16"``.
    """
    import mindspore as ms
    import numpy as np

    size = 1024
    matrix = ms.Tensor(np.ones((size, size), np.float32)).astype(getattr(ms, dtype))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        ms.ops.matmul(matrix, matrix).asnumpy()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
