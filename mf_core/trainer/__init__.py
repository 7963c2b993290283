"""Training: the arguments, the recipe that a task brings, callbacks, and the trainer."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import TrainingArguments as TrainingArguments
    from .callbacks import Callback as Callback
    from .loop import TrainResult as TrainResult
    from .recipe import EvalPrediction as EvalPrediction
    from .recipe import TrainingRecipe as TrainingRecipe
    from .state import TrainerControl as TrainerControl
    from .state import TrainerState as TrainerState
    from .trainer import Trainer as Trainer

_MODULES = {
    "Callback": "callbacks",
    "EvalPrediction": "recipe",
    "TrainResult": "loop",
    "Trainer": "trainer",
    "TrainerControl": "state",
    "TrainerState": "state",
    "TrainingArguments": "arguments",
    "TrainingRecipe": "recipe",
}

#: What needs no mindspore.
_LIGHT = {"Callback", "TrainerControl", "TrainerState", "TrainingArguments"}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        import importlib

        if name not in _LIGHT:
            from ..backends.base import import_mindspore

            import_mindspore()  # let the backend say how, before the module does
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
