"""How fast this processor multiplies matrices: what training's speed is compared with."""

from __future__ import annotations

import time

#: Seconds of a measurement, and from one to the next.
_SECONDS, _INTERVAL = 0.2, 30.0
#: Type -> the best so far, and when it was measured last.
_measured: dict[str, tuple[float, float]] = {}


def measured_flops(dtype: str) -> float:
    """Return floating-point operations a second of a matrix product on all threads, the best that was measured.

    The product is MindSpore's or the kernels', whichever is faster. As other processes may use the processor at one
    moment and not at another, it is measured again every half minute. Call it while no step runs.

    Args:
        dtype: ``"float32"`` or ``"float16"``; or ``"bfloat16"``, the kernels'.
    """
    best, last = _measured.get(dtype, (0.0, 0.0))
    if not best or time.monotonic() - last > _INTERVAL:
        best = max(best, _measure(dtype))
        _measured[dtype] = best, time.monotonic()
    return best


def _measure(dtype: str) -> float:
    import mindspore as ms
    import numpy as np

    from .kernels import load

    size = 1024
    kernel = load().get({"bfloat16": "bfloat16_linear", "float32": "linear"}.get(dtype, ""))
    matrix = ms.Tensor(np.ones((size, size), np.float32))
    products = [] if kernel is None else [lambda: kernel(matrix, matrix, None)]
    if dtype != "bfloat16":
        cast = matrix.astype(getattr(ms, dtype))
        products.append(lambda: ms.ops.matmul(cast, cast))
    fastest, end, count = float("inf"), time.perf_counter() + _SECONDS, 0
    while count < 4 * len(products) or time.perf_counter() < end:
        start = time.perf_counter()
        products[count % len(products)]().asnumpy()
        fastest = min(fastest, time.perf_counter() - start)
        count += 1
    return 2 * size**3 / fastest
