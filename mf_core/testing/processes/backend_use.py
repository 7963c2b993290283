"""Using a backend in a fresh process, as far as that goes without a model."""

from __future__ import annotations

from typing import Any


def use_backend(name: str) -> dict[str, Any]:
    """Ask for a backend by name, set it up twice, compute a sum; return the outcome of each."""
    import os

    os.environ.pop("MF_BACKEND", None)
    from ...backends.base import get_backend
    from ...errors import MFError, describe

    seen: dict[str, Any] = {"refused": "", "name": "", "again": "", "bad_device": "taken", "sum": None}
    try:
        backend = get_backend(name)
    except MFError as error:
        return {**seen, "refused": f"{type(error).__name__}: {error.what} {error.why or ''}"}
    seen["name"] = backend.name
    device = int(os.environ.get("DEVICE_ID", "0"))
    try:
        backend.setup(device)
    except Exception as error:
        seen["again"] = describe(error)
    try:
        backend.setup(1_000_003)
    except Exception as error:
        seen["bad_device"] = f"{type(error).__name__}: {describe(error)}"
    import mindspore as ms

    one = ms.Tensor([1.0, 2.0], ms.float32)
    seen["sum"] = (one + one).asnumpy().tolist()
    seen["describe"] = str(backend.describe())
    memory = {"memory_used": backend.memory_used, "memory_total": backend.memory_total,
              "memory_left": backend.memory_left}  # fmt: skip
    seen["memory"] = {key: call() for key, call in memory.items()}
    group = backend.collectives((0,), 0)
    found = {"all_reduce": group.all_reduce(one), "all_gather": group.all_gather(one),
             "reduce_scatter": group.reduce_scatter(one), "broadcast": group.broadcast(one, 0)}  # fmt: skip
    seen["collectives"] = {
        key: (list(value.shape), value.asnumpy().tolist() == one.asnumpy().tolist()) for key, value in found.items()
    }
    from ...nn.kernels import NAMES

    seen["kernels"] = {kernel: backend.capability(kernel) is not None for kernel in NAMES}
    return seen
