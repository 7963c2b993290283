"""Text generation: settings, choosing tokens from logits, and the loop that runs a model with its cache."""

from typing import TYPE_CHECKING, Any

from .config import GenerationConfig

if TYPE_CHECKING:
    from .call import GenerationOutput as GenerationOutput
    from .call import generate as generate
    from .hooks import NewToken as NewToken
    from .hooks import TokenLogprob as TokenLogprob

__all__ = ["GenerationConfig", "GenerationOutput", "NewToken", "TokenLogprob", "generate"]


def __getattr__(name: str) -> Any:
    if name in ("NewToken", "TokenLogprob"):
        from . import hooks

        return getattr(hooks, name)
    if name in ("generate", "GenerationOutput"):  # the loop needs mindspore; the settings do not
        from ..backends.base import import_mindspore

        import_mindspore()  # let the backend say how, before the module does
        from . import call

        return getattr(call, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
