"""Heads over an encoder: masked language model, classifiers of texts and tokens, question answering.

Shapes: B batch, S tokens, E hidden size, V vocabulary, L labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ..nn import Dropout, Embedding, parameter
from .encoder import EncoderBase
from .feed_forward import make_activation
from .parts import Part, make_norm, python_property


class EncoderForMaskedLM(EncoderBase):
    """An encoder that predicts the tokens behind a mask (Devlin et al., 2019, section 3.1)."""

    #: Activation of the head's first layer; None: the feed-forward layers'.
    transform_activation: ClassVar[str | None] = None

    transform, transform_norm, output_embedding, output_bias = Part(), Part(), Part(), Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        self.add_head_part("transform", self.make_linear(config.hidden_size))
        self.add_head_part("transform_norm", make_norm(config.norm_spec(), config.hidden_size))
        if not config.tie_word_embeddings:
            self.add_head_part("output_embedding", Embedding(
                config.vocab_size, config.hidden_size, std=config.initializer_range, dtype=self.compute_dtype
            ))  # fmt: skip
        self.add_head_part("output_bias", parameter((config.vocab_size,), 0.0))
        self.act = make_activation(self.transform_activation or config.activation_name or "gelu")

    @python_property
    def table(self) -> Any:
        """The embedding that makes logits: the head's own, or that of the tokens."""
        return self.encoder.embedding if self.output_embedding is None else self.output_embedding

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits ``(B, S, V)`` fp32; see :meth:`mf_core.models.EncoderModel.construct` for the arguments."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        logits = self.table.attend(self.transform_norm(self.act(self.transform(hidden))))
        bias = ops.cast(self.output_bias, mstype.float32)
        return logits + ops.broadcast_to(bias, logits.shape)


class EncoderForSequenceClassification(EncoderBase):
    """An encoder that classifies texts, by their first token through a pooling layer."""

    #: Activation of the pooling layer; families differ.
    pooler_activation: ClassVar[str] = "tanh"
    #: Whether the pooling layer's input has the classifier's dropout too, as RoBERTa's has.
    drops_pooler_input: ClassVar[bool] = False

    pooler, classifier = Part(), Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        self.add_head_part("pooler", self.make_linear(config.hidden_size))
        self.add_head_part("classifier", self.make_linear(config.num_labels))
        self.act, self.dropout = make_activation(self.pooler_activation), Dropout(config.head_dropout)
        self.input_dropout = Dropout(config.head_dropout if self.drops_pooler_input else 0.0)

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits ``(B, L)`` fp32; see :meth:`mf_core.models.EncoderModel.construct` for the arguments."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        pooled = self.act(self.pooler(self.input_dropout(hidden[:, 0])))
        return ops.cast(self.classifier(self.dropout(pooled)), mstype.float32)


class EncoderForTokenClassification(EncoderBase):
    """An encoder that classifies each token."""

    classifier = Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        self.add_head_part("classifier", self.make_linear(config.num_labels))
        self.dropout = Dropout(config.head_dropout)

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits ``(B, S, L)`` fp32; see :meth:`mf_core.models.EncoderModel.construct` for the arguments."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return ops.cast(self.classifier(self.dropout(hidden)), mstype.float32)


class EncoderForQuestionAnswering(EncoderBase):
    """An encoder that scores each token as the first and as the last of an answer."""

    spans = Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        self.add_head_part("spans", self.make_linear(2))

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits ``(B, S, 2)`` fp32, of the answer's first token and of its last.

        See :meth:`mf_core.models.EncoderModel.construct` for the arguments.
        """
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return ops.cast(self.spans(hidden), mstype.float32)
