"""The configuration that encoders share: Hugging Face's keys of ``config.json``, MindFormers' names of the fields.

Importing this module does not import mindspore.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from ..config import ACTIVATION_NAMES, DType, TokenId
from .labels import LabelledConfig
from .layer_spec import AttentionSpec, EncoderSpec, FeedForwardSpec, LayerSpec, NormSpec

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal[ACTIVATION_NAMES]  # type: ignore[valid-type]  # the names themselves

E = TypeVar("E", bound="EncoderConfig")


class EncoderConfig(LabelledConfig):
    """Configuration of an encoder of texts: by default, of BERT's kind. A family's class changes defaults and names.

    Fields may also be given by the names that ``config.json`` has for them (``num_hidden_layers``,
    ``num_attention_heads``, ``max_position_embeddings``).

    Attributes:
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth, attention heads.
        intermediate_size: Width of the feed-forward layer.
        hidden_act: Its activation.
        hidden_dropout_prob, attention_probs_dropout_prob: Dropouts, in training.
        classifier_dropout: Dropout before a classifier; None: ``hidden_dropout_prob``.
        seq_length: Rows of the table of positions.
        type_vocab_size: Segments that token types tell apart; 0: there are none.
        initializer_range: Standard deviation of initial weights.
        layer_norm_eps: Added to variances.
        pad_token_id: The padding token.
        tie_word_embeddings: Whether the head of a masked language model shares the embedding's weight.
        compute_dtype: Type to compute in.
    """

    json_names: ClassVar[Mapping[str, str]] = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "hidden_act": "hidden_act",
        "hidden_dropout_prob": "hidden_dropout_prob",
        "attention_probs_dropout_prob": "attention_probs_dropout_prob",
        "classifier_dropout": "classifier_dropout",
        "seq_length": "max_position_embeddings",
        "type_vocab_size": "type_vocab_size",
        "initializer_range": "initializer_range",
        "layer_norm_eps": "layer_norm_eps",
        "pad_token_id": "pad_token_id",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "embedding_size": "hidden_size", "layer_norm_epsilon": "layer_norm_eps", "layernorm_epsilon": "layer_norm_eps",
    }  # fmt: skip
    #: Row of the table of positions that the first token has.
    position_offset: ClassVar[int] = 0

    vocab_size: Positive = 30522
    hidden_size: Positive = 768
    num_layers: Positive = 12
    num_heads: Positive = 12
    intermediate_size: Positive = 3072
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Probability = 0.1
    attention_probs_dropout_prob: Probability = 0.1
    classifier_dropout: Probability | None = None
    seq_length: Positive = 512
    type_vocab_size: Natural = 2
    initializer_range: PositiveFloat = 0.02
    layer_norm_eps: PositiveFloat = 1e-12
    pad_token_id: TokenId = 0
    tie_word_embeddings: bool = True
    compute_dtype: DType = "float16"

    @model_validator(mode="after")
    def _check_width(self: E) -> E:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        if self.seq_length <= self.first_position:
            raise ValueError(f"seq_length={self.seq_length} leaves no positions after {self.first_position}")
        return self

    @property
    def first_position(self) -> int:
        """Row of the table of positions that the first token has."""
        return self.position_offset

    @property
    def head_dropout(self) -> float:
        """Dropout before a classifier."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    def norm_spec(self) -> NormSpec:
        """Return the declaration of a norm."""
        return NormSpec("layer", self.layer_norm_eps)

    def layer_spec(self, layer: int) -> LayerSpec:
        """Return the declaration of a layer, counted from 0."""
        return encoder_layer(self, self.norm_spec(), norms="post", bias=True)

    def encoder_spec(self) -> EncoderSpec:
        """Return the declaration of the body."""
        return EncoderSpec(
            self.vocab_size, self.hidden_size, self.seq_length,
            tuple(self.layer_spec(layer) for layer in range(self.num_layers)), self.norm_spec(),
            token_types=self.type_vocab_size, position_offset=self.first_position,
            embedding_dropout=self.hidden_dropout_prob, std=self.initializer_range,
        )  # fmt: skip


def encoder_layer(config: Any, norm: NormSpec, *, norms: Literal["pre", "post"], bias: bool) -> LayerSpec:
    """Return the declaration of a layer of plain attention and a plain feed-forward layer.

    Args:
        config: With the fields of sizes, dropouts and initial weights that encoders share.
        norm: The declaration of its norms.
        norms: Where they are.
        bias: Whether queries, keys and values have biases.
    """
    return LayerSpec(
        config.hidden_size,
        AttentionSpec(
            config.num_heads, config.num_heads, config.hidden_size // config.num_heads, bias=bias, output_bias=True,
            dropout=config.attention_probs_dropout_prob,
        ),
        FeedForwardSpec(config.intermediate_size, config.activation_name or "gelu", gated=False, bias=True),
        norm, norms=norms, dropout=config.hidden_dropout_prob, std=config.initializer_range,
    )  # fmt: skip
