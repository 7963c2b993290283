"""The tables of optimizers and of learning-rate schedules, which :func:`register_optimizer` and
:func:`register_schedule` extend.

Arguments, planner, command line and documentation read names and properties from here.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..boundary import public
from ..errors import AlreadyRegisteredError, ArgumentError, ArgumentTypeError, did_you_mean


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer.

    Attributes:
        name: As ``TrainingArguments(optim=…)`` takes it.
        target: Its class, a subclass of :class:`mf_core.optim.Optimizer`, or ``"module:Class"``.
        states_per_weight: fp32 numbers that it keeps for each number of a weight.
        shardable: Whether it can update a flat part of a weight, as ``optimizer_shard`` and tensor parallelism need.
        tables_per_weight: Tables of a weight's size that its operators keep on CPU, 16 bytes an element.
        kernel: Name of the backend's kernel that updates the weights where it is in use; see :mod:`mf_core.nn.kernels`.
        aliases: Further names.
        options: Keywords of the class.
    """

    name: str
    target: type | str
    states_per_weight: int
    shardable: bool = True
    tables_per_weight: int = 0
    kernel: str | None = None
    aliases: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> type:
        """Return the class."""
        if isinstance(self.target, type):
            return self.target
        module, _, name = self.target.partition(":")
        found: type = getattr(importlib.import_module(module), name)
        return found


@dataclass(frozen=True)
class ScheduleSpec:
    """A learning-rate schedule.

    Attributes:
        name: As ``TrainingArguments(lr_scheduler_type=…)`` takes it.
        shape: Returns the share of the peak rate from the training arguments and the progress, from 0 after warm-up
            to 1 at the end of the run.
        warmup: Whether the rate rises from 0 first, as ``warmup_steps`` and ``warmup_ratio`` say.
    """

    name: str
    shape: Callable[[Any, float], float]
    warmup: bool = True


_optimizers: dict[str, OptimizerSpec] = {}
_schedules: dict[str, ScheduleSpec] = {}


@public
def register_optimizer(
    name: str,
    target: type | str,
    *,
    states_per_weight: int,
    shardable: bool = False,
    tables_per_weight: int = 0,
    kernel: str | None = None,
    aliases: tuple[str, ...] = (),
    exist_ok: bool = False,
    **options: Any,
) -> None:
    """Add an optimizer, for this process; see :class:`OptimizerSpec` for the arguments.

    Raises:
        AlreadyRegisteredError: The name is taken, and ``exist_ok`` is false.
        ArgumentError, ArgumentTypeError: An argument is out of range, or of the wrong type.
    """
    _check_name(name, "optimizer")
    if not isinstance(target, type) and not (isinstance(target, str) and ":" in target):
        raise ArgumentTypeError(
            f"the optimizer {name!r} is given by its class, or as 'module:Class', not {target!r}", value=target
        )
    for what, count in (("states_per_weight", states_per_weight), ("tables_per_weight", tables_per_weight)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ArgumentError(f"{what}={count!r} is not a whole number of at least 0", value=count)
    spec = OptimizerSpec(
        name, target, states_per_weight, shardable, tables_per_weight, kernel, tuple(aliases), dict(options)
    )
    for key in (name, *spec.aliases):
        if not exist_ok and key in _names(_optimizers):
            raise AlreadyRegisteredError(f"the optimizer {key!r} is registered", value=key, hint="pass exist_ok=True")
    _optimizers[name] = spec


@public
def register_schedule(
    name: str, shape: Callable[[Any, float], float], *, warmup: bool = True, exist_ok: bool = False
) -> None:
    """Add a learning-rate schedule, for this process; see :class:`ScheduleSpec` for the arguments.

    Raises:
        AlreadyRegisteredError: The name is taken, and ``exist_ok`` is false.
        ArgumentTypeError: ``shape`` is not a function.
    """
    _check_name(name, "schedule")
    if not callable(shape):
        raise ArgumentTypeError(f"the schedule {name!r} is given by a function, not {shape!r}", value=shape)
    if not exist_ok and name in _schedules:
        raise AlreadyRegisteredError(f"the schedule {name!r} is registered", value=name, hint="pass exist_ok=True")
    _schedules[name] = ScheduleSpec(name, shape, warmup)


def optimizer_names() -> tuple[str, ...]:
    """Return the names of the optimizers, without aliases."""
    return tuple(_optimizers)


def schedule_names() -> tuple[str, ...]:
    """Return the names of the schedules."""
    return tuple(_schedules)


def optimizer_spec(name: str) -> OptimizerSpec:
    """Return the optimizer of a name or alias; raise ArgumentError for an unknown one."""
    names = _names(_optimizers)
    if name not in names:
        raise ArgumentError(f"there is no optimizer {name!r}", value=name, hint=_known(name, tuple(names)))
    return _optimizers[names[name]]


def schedule_spec(name: str) -> ScheduleSpec:
    """Return the schedule of a name; raise ArgumentError for an unknown one."""
    if name not in _schedules:
        raise ArgumentError(f"there is no schedule {name!r}", value=name, hint=_known(name, schedule_names()))
    return _schedules[name]


def _names(table: Mapping[str, OptimizerSpec]) -> dict[str, str]:
    """Return names and aliases -> name."""
    return {key: name for name, spec in table.items() for key in (name, *spec.aliases)}


def _known(name: str, names: tuple[str, ...]) -> str:
    return did_you_mean(name, names) or f"it is one of: {', '.join(names)}"


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise ArgumentTypeError(f"the name of an {what} is text, not {name!r}", value=name)


def _cosine_with_restarts(args: Any, progress: float) -> float:
    if progress >= 1:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (args.lr_num_cycles * progress % 1.0)))


def _polynomial(args: Any, progress: float) -> float:
    """Of degree 1."""
    end: float = args.lr_end / args.learning_rate if args.learning_rate else 0.0
    return (1.0 - end) * (1.0 - progress) + end


_MODULE = "mf_core.optim.optimizers"
register_optimizer(
    "adamw", f"{_MODULE}:AdamW", states_per_weight=2, shardable=True, kernel="fused_adamw",
    aliases=("AdamWeightDecay",),
)  # fmt: skip
register_optimizer("adam", f"{_MODULE}:AdamW", states_per_weight=2, shardable=True, decoupled=False)
register_optimizer("sgd", f"{_MODULE}:SGD", states_per_weight=0, shardable=True)
register_optimizer("adagrad", f"{_MODULE}:Adagrad", states_per_weight=1, shardable=True, tables_per_weight=1)
register_optimizer("adafactor", f"{_MODULE}:Adafactor", states_per_weight=0, tables_per_weight=3)

register_schedule("linear", lambda args, progress: 1.0 - progress)
register_schedule("cosine", lambda args, progress: 0.5 * (1.0 + math.cos(math.pi * progress)))
register_schedule("cosine_with_restarts", _cosine_with_restarts)
register_schedule("polynomial", _polynomial)
register_schedule("constant", lambda args, progress: 1.0, warmup=False)
register_schedule("constant_with_warmup", lambda args, progress: 1.0)
