"""Optimizers and learning-rate schedules, and the tables that name them."""

from typing import TYPE_CHECKING, Any

from .table import (
    OptimizerSpec,
    ScheduleSpec,
    optimizer_names,
    optimizer_spec,
    register_optimizer,
    register_schedule,
    schedule_names,
    schedule_spec,
)

if TYPE_CHECKING:
    from .optimizers import Optimizer as Optimizer

__all__ = [
    "Optimizer",
    "OptimizerSpec",
    "ScheduleSpec",
    "optimizer_names",
    "optimizer_spec",
    "register_optimizer",
    "register_schedule",
    "schedule_names",
    "schedule_spec",
]


def __getattr__(name: str) -> Any:
    if name == "Optimizer":
        from ..backends.base import import_mindspore

        import_mindspore()
        from .optimizers import Optimizer

        return Optimizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
