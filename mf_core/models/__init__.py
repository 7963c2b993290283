"""Foundations of model families: the base class, and decoders and encoders built from a declaration.

Names are imported when first used: configurations and declarations without mindspore, models with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import PretrainedModel as PretrainedModel
    from .config import DecoderConfig as DecoderConfig
    from .cross_attention import CrossAttention as CrossAttention
    from .decoder import Cache as Cache
    from .decoder import Decoder as Decoder
    from .decoder import DecoderForCausalLM as DecoderForCausalLM
    from .decoder_arrays import ArraysReader as ArraysReader
    from .decoder_heads import DecoderForSequenceClassification as DecoderForSequenceClassification
    from .decoder_layer import DecoderLayer as DecoderLayer
    from .encoder import Encoder as Encoder
    from .encoder import EncoderLayer as EncoderLayer
    from .encoder import EncoderModel as EncoderModel
    from .encoder_config import EncoderConfig as EncoderConfig
    from .encoder_heads import EncoderForMaskedLM as EncoderForMaskedLM
    from .encoder_heads import EncoderForQuestionAnswering as EncoderForQuestionAnswering
    from .encoder_heads import EncoderForSequenceClassification as EncoderForSequenceClassification
    from .encoder_heads import EncoderForTokenClassification as EncoderForTokenClassification
    from .experts import MixtureOfExperts as MixtureOfExperts
    from .experts import Router as Router
    from .feed_forward import FeedForward as FeedForward
    from .gpt_config import GPTConfig as GPTConfig
    from .labels import LabelledConfig as LabelledConfig
    from .latent_attention import LatentAttention as LatentAttention
    from .layer_spec import VISION_NAMES as VISION_NAMES
    from .layer_spec import AttentionSpec as AttentionSpec
    from .layer_spec import DecoderSpec as DecoderSpec
    from .layer_spec import EncoderSpec as EncoderSpec
    from .layer_spec import ExpertsSpec as ExpertsSpec
    from .layer_spec import FeedForwardSpec as FeedForwardSpec
    from .layer_spec import LatentSpec as LatentSpec
    from .layer_spec import LayerSpec as LayerSpec
    from .layer_spec import NormSpec as NormSpec
    from .layer_spec import PatchSpec as PatchSpec
    from .layer_spec import RotarySpec as RotarySpec
    from .parts import NamedParts as NamedParts
    from .parts import Part as Part
    from .parts import make_norm as make_norm
    from .self_attention import SelfAttention as SelfAttention
    from .seq2seq import EncoderDecoderForSeq2SeqLM as EncoderDecoderForSeq2SeqLM
    from .seq2seq_spec import EncoderDecoderSpec as EncoderDecoderSpec
    from .seq2seq_spec import RelativeSpec as RelativeSpec
    from .seq2seq_spec import StackSpec as StackSpec
    from .vision_config import VisionConfig as VisionConfig
    from .vision_encoder import VisionBase as VisionBase
    from .vision_encoder import VisionEncoder as VisionEncoder
    from .vision_encoder import VisionForImageClassification as VisionForImageClassification
    from .vision_encoder import VisionModel as VisionModel

#: Public name -> the module that defines it.
_MODULES = {
    "ArraysReader": "decoder_arrays",
    "AttentionSpec": "layer_spec",
    "Cache": "decoder",
    "CrossAttention": "cross_attention",
    "Decoder": "decoder",
    "DecoderConfig": "config",
    "DecoderForCausalLM": "decoder",
    "DecoderForSequenceClassification": "decoder_heads",
    "DecoderLayer": "decoder_layer",
    "DecoderSpec": "layer_spec",
    "Encoder": "encoder",
    "EncoderConfig": "encoder_config",
    "EncoderDecoderForSeq2SeqLM": "seq2seq",
    "EncoderDecoderSpec": "seq2seq_spec",
    "EncoderForMaskedLM": "encoder_heads",
    "EncoderForQuestionAnswering": "encoder_heads",
    "EncoderForSequenceClassification": "encoder_heads",
    "EncoderForTokenClassification": "encoder_heads",
    "EncoderLayer": "encoder",
    "EncoderModel": "encoder",
    "EncoderSpec": "layer_spec",
    "ExpertsSpec": "layer_spec",
    "FeedForward": "feed_forward",
    "FeedForwardSpec": "layer_spec",
    "GPTConfig": "gpt_config",
    "LabelledConfig": "labels",
    "LatentAttention": "latent_attention",
    "LatentSpec": "layer_spec",
    "LayerSpec": "layer_spec",
    "MixtureOfExperts": "experts",
    "NamedParts": "parts",
    "NormSpec": "layer_spec",
    "Part": "parts",
    "PatchSpec": "layer_spec",
    "PretrainedModel": "base",
    "RelativeSpec": "seq2seq_spec",
    "RotarySpec": "layer_spec",
    "Router": "experts",
    "SelfAttention": "self_attention",
    "StackSpec": "seq2seq_spec",
    "VISION_NAMES": "layer_spec",
    "VisionBase": "vision_encoder",
    "VisionConfig": "vision_config",
    "VisionEncoder": "vision_encoder",
    "VisionForImageClassification": "vision_encoder",
    "VisionModel": "vision_encoder",
    "make_norm": "parts",
}

#: Modules that do not import MindSpore.
_WITHOUT_MINDSPORE = (
    "config", "encoder_config", "gpt_config", "labels", "layer_spec", "seq2seq_spec", "vision_config",
)  # fmt: skip

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        if _MODULES[name] not in _WITHOUT_MINDSPORE:
            importlib.import_module(".base", __name__)  # first: it imports mindspore, or says why it cannot be
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
