"""A process's device, execution mode and place in a cluster: :func:`init_context` sets them, :func:`current` tells."""

from .config import ContextConfig, ParallelContextConfig
from .setup import init_context, leave_compiler
from .state import Context, current

__all__ = ["Context", "ContextConfig", "ParallelContextConfig", "current", "init_context", "leave_compiler"]
