"""What model families are built on: the base class, and decoders that follow from a declaration.

Names are imported when first used: configurations and declarations without mindspore, models with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import PretrainedModel as PretrainedModel
    from .config import DecoderConfig as DecoderConfig
    from .decoder import Cache as Cache
    from .decoder import Decoder as Decoder
    from .decoder import DecoderForCausalLM as DecoderForCausalLM
    from .decoder_arrays import ArraysReader as ArraysReader
    from .decoder_layer import DecoderLayer as DecoderLayer
    from .experts import MixtureOfExperts as MixtureOfExperts
    from .experts import Router as Router
    from .feed_forward import FeedForward as FeedForward
    from .layer_spec import AttentionSpec as AttentionSpec
    from .layer_spec import DecoderSpec as DecoderSpec
    from .layer_spec import ExpertsSpec as ExpertsSpec
    from .layer_spec import FeedForwardSpec as FeedForwardSpec
    from .layer_spec import LayerSpec as LayerSpec
    from .layer_spec import NormSpec as NormSpec
    from .layer_spec import RotarySpec as RotarySpec
    from .self_attention import SelfAttention as SelfAttention

#: Public name -> the module that defines it.
_MODULES = {
    "ArraysReader": "decoder_arrays",
    "AttentionSpec": "layer_spec",
    "Cache": "decoder",
    "Decoder": "decoder",
    "DecoderConfig": "config",
    "DecoderForCausalLM": "decoder",
    "DecoderLayer": "decoder_layer",
    "DecoderSpec": "layer_spec",
    "ExpertsSpec": "layer_spec",
    "FeedForward": "feed_forward",
    "FeedForwardSpec": "layer_spec",
    "LayerSpec": "layer_spec",
    "MixtureOfExperts": "experts",
    "NormSpec": "layer_spec",
    "PretrainedModel": "base",
    "RotarySpec": "layer_spec",
    "Router": "experts",
    "SelfAttention": "self_attention",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        if _MODULES[name] not in ("config", "layer_spec"):
            importlib.import_module(".base", __name__)  # first: it imports mindspore, or says why it cannot be
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
