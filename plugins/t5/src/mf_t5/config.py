"""Hyper-parameters of T5 and mT5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from mf_core.config import ACTIVATION_NAMES, DType, PretrainedConfig, TokenId, TokenIds
from mf_core.errors import ConfigError
from mf_core.models import (
    AttentionSpec,
    EncoderDecoderSpec,
    FeedForwardSpec,
    LayerSpec,
    NormSpec,
    RelativeSpec,
    StackSpec,
)

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
_FEED_FORWARD = tuple(f"{gate}{name}" for gate in ("", "gated-") for name in ACTIVATION_NAMES)
FeedForward = Literal[_FEED_FORWARD]  # type: ignore[valid-type]  # the names themselves

C = TypeVar("C", bound="T5Config")


class T5Config(PretrainedConfig):
    """Configuration of T5.

    Fields may also be given by the names that ``config.json`` has for them (``d_model``, ``d_kv``, ``d_ff``).

    Attributes:
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, layers of the encoder, attention heads.
        num_decoder_layers: Layers of the decoder; None: as many as the encoder has.
        head_dim: Width of a head.
        intermediate_size: Width of the feed-forward layers.
        feed_forward_proj: Their activation, with ``gated-`` before it where a gate is multiplied (T5 1.1).
        seq_length: Longest source, and longest target, in tokens.
        relative_attention_num_buckets, relative_attention_max_distance: Rows of the tables of biases by distance, and
            the distance from which on all share one.
        dropout_rate: In training.
        layer_norm_epsilon: Added to mean squares.
        initializer_factor: Of the standard deviations of initial weights.
        tie_word_embeddings: Whether the head shares the embedding's weight.
        scale_decoder_outputs: Whether what the head is given is divided by the root of ``hidden_size``, as in T5 before
            version 1.1; in a file that does not say so, where ``tie_word_embeddings`` is true.
        pad_token_id, eos_token_id: Special tokens.
        decoder_start_token_id: What the decoder begins with.
        compute_dtype: Type to compute in.
    """

    model_type: ClassVar[str] = "t5"
    json_names: ClassVar[Mapping[str, str]] = {
        "vocab_size": "vocab_size",
        "hidden_size": "d_model",
        "num_layers": "num_layers",
        "num_decoder_layers": "num_decoder_layers",
        "num_heads": "num_heads",
        "head_dim": "d_kv",
        "intermediate_size": "d_ff",
        "feed_forward_proj": "feed_forward_proj",
        "seq_length": "n_positions",
        "relative_attention_num_buckets": "relative_attention_num_buckets",
        "relative_attention_max_distance": "relative_attention_max_distance",
        "dropout_rate": "dropout_rate",
        "layer_norm_epsilon": "layer_norm_epsilon",
        "initializer_factor": "initializer_factor",
        "tie_word_embeddings": "tie_word_embeddings",
        "scale_decoder_outputs": "scale_decoder_outputs",
        "pad_token_id": "pad_token_id",
        "eos_token_id": "eos_token_id",
        "decoder_start_token_id": "decoder_start_token_id",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "num_hidden_layers": "num_layers", "num_attention_heads": "num_heads", "kv_size": "head_dim",
        "layer_norm_eps": "layer_norm_epsilon", "start_token_id": "decoder_start_token_id",
    }  # fmt: skip

    vocab_size: Positive = 32128
    hidden_size: Positive = 512
    num_layers: Positive = 6
    num_decoder_layers: Positive | None = None
    num_heads: Positive = 8
    head_dim: Positive = 64
    intermediate_size: Positive = 2048
    feed_forward_proj: FeedForward = "relu"
    seq_length: Positive = 512
    relative_attention_num_buckets: Annotated[int, Field(ge=4)] = 32
    relative_attention_max_distance: Positive = 128
    dropout_rate: Probability = 0.1
    layer_norm_epsilon: PositiveFloat = 1e-6
    initializer_factor: PositiveFloat = 1.0
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool = True
    pad_token_id: TokenId = 0
    eos_token_id: TokenIds = 1
    decoder_start_token_id: TokenId = 0
    compute_dtype: DType = "float16"

    @model_validator(mode="after")
    def _check_distance(self: C) -> C:
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 2:
            raise ValueError(
                f"relative_attention_max_distance={self.relative_attention_max_distance} leaves no ranges for half of "
                f"the {self.relative_attention_num_buckets} buckets"
            )
        return self

    def stack_spec(self, *, decoder: bool) -> StackSpec:
        """Return the declaration of the encoder's or of the decoder's layers."""
        gate, _, activation = str(self.feed_forward_proj).rpartition("-")
        # The authors' "gelu" behind a gate is the approximation by tanh.
        activation = "gelu_new" if gate and activation == "gelu" else activation
        std = self.initializer_factor * self.hidden_size**-0.5
        attention = AttentionSpec(
            self.num_heads, self.num_heads, self.head_dim, scale=1.0, dropout=self.dropout_rate,
            query_std=std * self.head_dim**-0.5,
        )  # fmt: skip
        norm = NormSpec("rms", self.layer_norm_epsilon)
        layer = LayerSpec(
            self.hidden_size, attention,
            FeedForwardSpec(self.intermediate_size, activation, gated=bool(gate), dropout=self.dropout_rate), norm,
            cross_attention=attention if decoder else None, dropout=self.dropout_rate, std=std,
        )  # fmt: skip
        count = self.num_decoder_layers or self.num_layers if decoder else self.num_layers
        number = 2 if decoder else 1
        return StackSpec(
            (layer,) * count, norm,
            RelativeSpec(
                self.relative_attention_num_buckets, self.relative_attention_max_distance, both_directions=not decoder
            ),
            dropout=self.dropout_rate,
            names={
                "feed_forward": f"layer.{number}.DenseReluDense", "feed_forward_norm": f"layer.{number}.layer_norm",
                "up": "wi_1" if gate else "wi",
            },
        )  # fmt: skip

    def encoder_decoder_spec(self) -> EncoderDecoderSpec:
        """Return the declaration of the model."""
        return EncoderDecoderSpec(
            self.vocab_size, self.hidden_size, self.seq_length, self.stack_spec(decoder=False),
            self.stack_spec(decoder=True), tied=self.tie_word_embeddings,
            logit_multiplier=self.hidden_size**-0.5 if self.scale_decoder_outputs else 1.0,
            std=self.initializer_factor, head_std=self.initializer_factor,
        )  # fmt: skip

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any], **overrides: Any) -> C:
        """See the base class; the decoder begins with padding where a file does not say what with.

        Raises:
            ConfigError: The checkpoint is of an encoder or a decoder alone.
        """
        if data.get("is_encoder_decoder") is False or data.get("is_decoder"):
            raise ConfigError(
                f"a {cls.model_type!r} checkpoint of one side alone is not supported", value=cls.model_type,
                hint="load one of the whole model",
            )  # fmt: skip
        known = dict(data)
        if "scale_decoder_outputs" not in known and cls.model_fields["scale_decoder_outputs"].default:
            known["scale_decoder_outputs"] = known.get("tie_word_embeddings") is not False
        return super().from_dict(known, **overrides)

    def to_file_dict(self) -> dict[str, Any]:
        """See the base class."""
        return {"is_encoder_decoder": True, **super().to_file_dict()}


class MT5Config(T5Config):
    """Configuration of mT5; see :class:`T5Config` for the fields."""

    model_type: ClassVar[str] = "mt5"

    vocab_size: Positive = 250112
    num_layers: Positive = 8
    num_heads: Positive = 6
    intermediate_size: Positive = 1024
    feed_forward_proj: FeedForward = "gated-gelu"
    tie_word_embeddings: bool = False
    scale_decoder_outputs: bool = False
