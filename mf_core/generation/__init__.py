"""Text generation: settings, choosing tokens from logits, and the loop that runs a model with its cache."""

from typing import TYPE_CHECKING, Any

from .config import GenerationConfig

if TYPE_CHECKING:
    from .engine import generate as generate

__all__ = ["GenerationConfig", "generate"]


def __getattr__(name: str) -> Any:
    if name == "generate":  # the loop needs mindspore; the settings do not
        from ..backends.base import import_mindspore

        import_mindspore()  # let the backend say how, before the module does
        from .engine import generate

        return generate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
