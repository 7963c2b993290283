"""Hyper-parameters of BERT, RoBERTa and DistilBERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from mf_core.config import TokenId
from mf_core.errors import UnsupportedError
from mf_core.models import EncoderConfig

B = TypeVar("B", bound="BertConfig")


class BertConfig(EncoderConfig):
    """Configuration of BERT; see :class:`mf_core.models.EncoderConfig` for the fields."""

    model_type: ClassVar[str] = "bert"

    @classmethod
    def from_dict(cls: type[B], data: Mapping[str, Any], **overrides: Any) -> B:
        """See the base class.

        Raises:
            UnsupportedError: The checkpoint is of a decoder, or has relative positions.
        """
        if data.get("is_decoder") or data.get("add_cross_attention"):
            raise UnsupportedError(
                f"is_decoder=True is not supported for {cls.model_type!r}", value=True,
                why="such a checkpoint attends to earlier tokens alone",
            )  # fmt: skip
        kind = data.get("position_embedding_type", "absolute")
        if kind != "absolute":
            raise UnsupportedError(f"position_embedding_type={kind!r} is not supported", value=kind)
        return super().from_dict(data, **overrides)


class RobertaConfig(BertConfig):
    """Configuration of RoBERTa; see :class:`mf_core.models.EncoderConfig` for the fields.

    Attributes:
        bos_token_id, eos_token_id: The tokens around a text.
    """

    model_type: ClassVar[str] = "roberta"
    json_names: ClassVar[Mapping[str, str]] = {
        **BertConfig.json_names, "bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id",
    }  # fmt: skip

    vocab_size: Annotated[int, Field(gt=0)] = 50265
    seq_length: Annotated[int, Field(gt=0)] = 514
    type_vocab_size: Annotated[int, Field(ge=0)] = 1
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    pad_token_id: TokenId = 1
    bos_token_id: TokenId = 0
    eos_token_id: TokenId = 2

    @property
    def first_position(self) -> int:
        """Row of the table of positions that the first token has: the one after padding's."""
        return (self.pad_token_id or 0) + 1


class DistilBertConfig(EncoderConfig):
    """Configuration of DistilBERT; see :class:`mf_core.models.EncoderConfig` for the fields.

    Attributes:
        sinusoidal_pos_embds: Whether the table of positions was made of sines; it is part of the weights either way.
    """

    model_type: ClassVar[str] = "distilbert"
    json_names: ClassVar[Mapping[str, str]] = {
        "vocab_size": "vocab_size",
        "hidden_size": "dim",
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "classifier_dropout": "seq_classif_dropout",
        "seq_length": "max_position_embeddings",
        "initializer_range": "initializer_range",
        "pad_token_id": "pad_token_id",
        "sinusoidal_pos_embds": "sinusoidal_pos_embds",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "num_hidden_layers": "num_layers", "num_attention_heads": "num_heads", "hidden_size": "hidden_size",
    }  # fmt: skip

    num_layers: Annotated[int, Field(gt=0)] = 6
    type_vocab_size: Annotated[int, Field(ge=0, le=0)] = 0
    classifier_dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.2
    sinusoidal_pos_embds: bool = False
