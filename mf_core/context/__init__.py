"""The device, execution mode and cluster rank of a process: :func:`init_context` sets them, :func:`current` returns
them."""

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
