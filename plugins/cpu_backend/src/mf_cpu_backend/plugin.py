"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import BackendSpec


@hookimpl
def mf_backends() -> list[BackendSpec]:
    """Return the CPU backend."""
    return [
        BackendSpec(
            name="cpu", target="mf_cpu_backend.backend:CPUBackend", priority=0, description="MindSpore on the CPU"
        )
    ]
