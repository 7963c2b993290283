"""LoRA (Hu et al., 2021): a pair of small matrices beside each of some linear layers, trained instead of the layers.

Files are those of PEFT, which reads ours as we read its own.
"""

from typing import TYPE_CHECKING, Any

from .config import LoraConfig

if TYPE_CHECKING:
    from .adapters import LoraShare as LoraShare
    from .adapters import add_lora as add_lora
    from .adapters import lora_share as lora_share
    from .adapters import merge_lora as merge_lora
    from .files import load_adapter as load_adapter
    from .files import save_adapter as save_adapter
    from .layers import LoraLinear as LoraLinear

_MODULES = {
    "LoraLinear": "layers",
    "LoraShare": "adapters",
    "add_lora": "adapters",
    "load_adapter": "files",
    "lora_share": "adapters",
    "merge_lora": "adapters",
    "save_adapter": "files",
}

__all__ = ["LoraConfig", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # all but the settings need mindspore
        import importlib

        from ..backends.base import import_mindspore

        import_mindspore()  # let the backend say how, before the module does
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
