"""Making the step of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mindspore as ms

from ...backends.runtime import exclusive
from ...optim.optimizers import make_optimizer
from ..arguments import TrainingArguments
from ..recipe import TrainingRecipe
from .cluster_step import ClusterStep
from .custom_step import CustomStep
from .grad_reducer import GradReducer
from .pipeline import PipelineStep
from .protocol import Step
from .train_step import TrainStep

if TYPE_CHECKING:
    from ..session import Session


def make_step(
    recipe: TrainingRecipe,
    args: TrainingArguments,
    session: Session | None,
    optimizer: Any = None,
    wrapper: Callable[..., Any] | None = None,
) -> Step:
    """Return what takes a run's steps.

    Args:
        recipe: Makes the network; its model computes in the type of the run already.
        args: Settings.
        session: The processes that train together; None: there is one.
        optimizer: A ``mindspore.nn`` optimizer of the user's, instead of ``args.optim``.
        wrapper: Makes the cell that takes a step, see :class:`CustomStep`.
    """
    with exclusive(interruptible=True):
        return _make(recipe, args, session, optimizer, wrapper)


def _make(
    recipe: TrainingRecipe,
    args: TrainingArguments,
    session: Session | None,
    optimizer: Any,
    wrapper: Callable[..., Any] | None,
) -> Step:
    model = recipe.model
    if wrapper is not None:
        return CustomStep(recipe.network(), optimizer, wrapper, args)
    scaled = model.compute_dtype == "float16"
    if session is None:
        made = make_optimizer(model.trainable_params(), args, optimizer)
        return TrainStep(recipe.network(), made, args, scaled=scaled)
    weights = {name: p for name, p in model.parameters_and_names() if p.requires_grad}
    reducer = GradReducer(session.sharding, weights)
    made = make_optimizer(reducer.trained, args, optimizer, decays=reducer.decays)
    if session.layout.pipeline > 1:
        return PipelineStep(recipe, made, args, scaled=scaled, reducer=reducer)
    return ClusterStep(recipe.network(), made, args, scaled=scaled, reducer=reducer)


def rate_of(optimizer: Any) -> Callable[[], float] | None:
    """Return what reads the learning rate of a user's optimizer; None where there is none."""
    if optimizer is None:
        return None

    def rate() -> float:
        value = optimizer.get_lr()
        value = value[0] if isinstance(value, (list, tuple)) else value
        return float(value.asnumpy() if isinstance(value, ms.Tensor) else value)

    return rate
