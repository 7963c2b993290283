"""What this package offers to mf-framework. Targets are strings: nothing is imported before somebody uses it."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import BackendSpec


@hookimpl
def mf_backends() -> list[BackendSpec]:
    """Return the backend. Its priority is below the CPU's 0, so that it serves only where somebody asks for it."""
    return [
        BackendSpec(
            name="one_core",
            target="mf_one_core.backend:OneCoreBackend",
            priority=-10,
            description="MindSpore on one chosen core",
        )
    ]
