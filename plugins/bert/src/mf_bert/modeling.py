"""BERT (Devlin et al., 2019), RoBERTa (Liu et al., 2019) and DistilBERT (Sanh et al., 2019).

Parameter names are those of Hugging Face's checkpoints; BERT's are the defaults of :mod:`mf_core.models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mf_core.models import (
    EncoderForMaskedLM,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
    EncoderModel,
)

from .config import BertConfig, DistilBertConfig, RobertaConfig

_ROBERTA = {
    "encoder": "roberta", "pooler": "roberta.pooler.dense", "transform": "lm_head.dense",
    "transform_norm": "lm_head.layer_norm", "output_embedding": "lm_head.decoder", "output_bias": "lm_head.bias",
}  # fmt: skip
_DISTILBERT = {
    "encoder": "distilbert", "layers": "transformer.layer", "query": "q_lin", "key": "k_lin", "value": "v_lin",
    "output": "out_lin", "attention_norm": "sa_layer_norm", "feed_forward": "ffn", "up": "lin1", "down": "lin2",
    "feed_forward_norm": "output_layer_norm", "pooler": "pre_classifier", "transform": "vocab_transform",
    "transform_norm": "vocab_layer_norm", "output_embedding": "vocab_projector", "output_bias": "vocab_projector.bias",
}  # fmt: skip
_ROBERTA_HEADS = (r"^lm_head\.", r"^classifier\.", r"^qa_outputs\.", r"(^|\.)pooler\.")
_DISTILBERT_HEADS = (r"^vocab_", r"^(pre_)?classifier\.", r"^qa_outputs\.")


class BertModel(EncoderModel):
    """BERT with its pooler."""

    config_class: ClassVar[type[BertConfig]] = BertConfig


class BertForMaskedLM(EncoderForMaskedLM):
    """BERT that predicts masked tokens."""

    config_class: ClassVar[type[BertConfig]] = BertConfig


class BertForSequenceClassification(EncoderForSequenceClassification):
    """BERT that classifies texts."""

    config_class: ClassVar[type[BertConfig]] = BertConfig


class BertForTokenClassification(EncoderForTokenClassification):
    """BERT that classifies tokens."""

    config_class: ClassVar[type[BertConfig]] = BertConfig


class BertForQuestionAnswering(EncoderForQuestionAnswering):
    """BERT that finds answers in a text."""

    config_class: ClassVar[type[BertConfig]] = BertConfig


class RobertaModel(EncoderModel):
    """RoBERTa with a pooler."""

    config_class: ClassVar[type[RobertaConfig]] = RobertaConfig
    names: Mapping[str, str] = _ROBERTA
    other_heads: ClassVar[tuple[str, ...]] = _ROBERTA_HEADS


class RobertaForMaskedLM(EncoderForMaskedLM):
    """RoBERTa that predicts masked tokens."""

    config_class: ClassVar[type[RobertaConfig]] = RobertaConfig
    names: Mapping[str, str] = _ROBERTA
    other_heads: ClassVar[tuple[str, ...]] = _ROBERTA_HEADS
    transform_activation: ClassVar[str] = "gelu"


class RobertaForSequenceClassification(EncoderForSequenceClassification):
    """RoBERTa that classifies texts; the pooling layer is the classifier's."""

    config_class: ClassVar[type[RobertaConfig]] = RobertaConfig
    names: Mapping[str, str] = {
        **_ROBERTA, "pooler": "classifier.dense", "classifier": "classifier.out_proj",
    }  # fmt: skip
    other_heads: ClassVar[tuple[str, ...]] = _ROBERTA_HEADS
    drops_pooler_input: ClassVar[bool] = True


class RobertaForTokenClassification(EncoderForTokenClassification):
    """RoBERTa that classifies tokens."""

    config_class: ClassVar[type[RobertaConfig]] = RobertaConfig
    names: Mapping[str, str] = _ROBERTA
    other_heads: ClassVar[tuple[str, ...]] = _ROBERTA_HEADS


class RobertaForQuestionAnswering(EncoderForQuestionAnswering):
    """RoBERTa that finds answers in a text."""

    config_class: ClassVar[type[RobertaConfig]] = RobertaConfig
    names: Mapping[str, str] = _ROBERTA
    other_heads: ClassVar[tuple[str, ...]] = _ROBERTA_HEADS


class DistilBertModel(EncoderModel):
    """DistilBERT, which has neither segments nor a pooler."""

    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    names: Mapping[str, str] = _DISTILBERT
    other_heads: ClassVar[tuple[str, ...]] = _DISTILBERT_HEADS
    has_pooler: ClassVar[bool] = False


class DistilBertForMaskedLM(EncoderForMaskedLM):
    """DistilBERT that predicts masked tokens."""

    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    names: Mapping[str, str] = _DISTILBERT
    other_heads: ClassVar[tuple[str, ...]] = _DISTILBERT_HEADS


class DistilBertForSequenceClassification(EncoderForSequenceClassification):
    """DistilBERT that classifies texts."""

    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    names: Mapping[str, str] = _DISTILBERT
    other_heads: ClassVar[tuple[str, ...]] = _DISTILBERT_HEADS
    pooler_activation: ClassVar[str] = "relu"


class DistilBertForTokenClassification(EncoderForTokenClassification):
    """DistilBERT that classifies tokens."""

    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    names: Mapping[str, str] = _DISTILBERT
    other_heads: ClassVar[tuple[str, ...]] = _DISTILBERT_HEADS


class DistilBertForQuestionAnswering(EncoderForQuestionAnswering):
    """DistilBERT that finds answers in a text."""

    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    names: Mapping[str, str] = _DISTILBERT
    other_heads: ClassVar[tuple[str, ...]] = _DISTILBERT_HEADS
