"""How fast this processor multiplies matrices: what training's speed is compared with."""

from __future__ import annotations

import time
from functools import lru_cache


@lru_cache
def measured_flops(dtype: str) -> float:
    """Return floating-point operations a second of a matrix product, the best of several.

    Args:
        dtype: ``"float32"`` or ``"float16"``, MindSpore's; or ``"bfloat16"``, the kernels'.
    """
    import mindspore as ms
    import numpy as np

    from .kernels import load

    def product(matrix: ms.Tensor) -> ms.Tensor:
        return load()["bfloat16_linear"](matrix, matrix, None) if rounds else ms.ops.matmul(matrix, matrix)

    size, rounds = 1024, dtype == "bfloat16"
    matrix = ms.Tensor(np.ones((size, size), np.float32)).astype(ms.float32 if rounds else getattr(ms, dtype))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        product(matrix).asnumpy()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
