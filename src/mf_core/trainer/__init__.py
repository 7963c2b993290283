"""Training: the arguments, the recipe that a task brings, and the loop."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import TrainingArguments as TrainingArguments
    from .loop import Trainer as Trainer
    from .loop import TrainResult as TrainResult
    from .recipe import TrainingRecipe as TrainingRecipe

__all__ = ["TrainResult", "Trainer", "TrainingArguments", "TrainingRecipe"]

_MODULES = {"TrainingArguments": "arguments", "Trainer": "loop", "TrainResult": "loop", "TrainingRecipe": "recipe"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # the arguments need no mindspore
        import importlib

        if name != "TrainingArguments":
            from ..backend import import_mindspore

            import_mindspore()  # let the backend say how, before the module does
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
