"""A process's device, execution mode and place in a cluster: :func:`init_context` sets them, :func:`current` tells."""

from .cluster import is_clustered
from .config import ContextConfig, ParallelContextConfig
from .setup import init_context, leave_compiler
from .state import Context, current

__all__ = [
    "Context",
    "ContextConfig",
    "ParallelContextConfig",
    "current",
    "init_context",
    "is_clustered",
    "leave_compiler",
]
