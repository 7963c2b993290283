"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import BackendSpec


@hookimpl
def mf_backends() -> list[BackendSpec]:
    """Return the Ascend backend, which goes before the CPU where there is an Ascend."""
    return [
        BackendSpec(
            name="ascend", target="mf_ascend_backend.backend:AscendBackend", priority=10,
            description="MindSpore on Ascend processors",
        )
    ]  # fmt: skip
