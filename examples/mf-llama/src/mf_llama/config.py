"""Llama's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from mf_core import PretrainedConfig
from mf_core.config import DType
from mf_core.errors import UnsupportedError
from pydantic import Field, model_validator

Positive = Annotated[int, Field(gt=0)]
L = TypeVar("L", bound="LlamaConfig")


class LlamaConfig(PretrainedConfig):
    """Configuration of Llama. Fields may also be given by the names that ``config.json`` has for them.

    Attributes:
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth, heads.
        num_key_value_heads: Heads of keys and values, each shared by a group of ``num_heads``; None: as many.
        head_dim: Width of a head; None: ``hidden_size / num_heads``.
        intermediate_size: Width of the feed-forward layer.
        seq_length: Longest sequence in tokens.
        rope_theta: Base of the rotary wavelengths.
        rms_norm_eps: Added to mean squares.
        hidden_act: Activation of the feed-forward layer.
        attention_bias, mlp_bias: Whether the linear layers have biases.
        tie_word_embeddings: Whether the head shares the embedding's weight.
        initializer_range: Standard deviation of initial weights.
        bos_token_id, eos_token_id, pad_token_id: Special tokens.
        compute_dtype: Type to compute in.
    """

    model_type: ClassVar[str] = "llama"
    json_names: ClassVar[Mapping[str, str]] = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "num_key_value_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "intermediate_size": "intermediate_size",
        "seq_length": "max_position_embeddings",
        "rope_theta": "rope_theta",
        "rms_norm_eps": "rms_norm_eps",
        "hidden_act": "hidden_act",
        "attention_bias": "attention_bias",
        "mlp_bias": "mlp_bias",
        "tie_word_embeddings": "tie_word_embeddings",
        "initializer_range": "initializer_range",
        "bos_token_id": "bos_token_id",
        "eos_token_id": "eos_token_id",
        "pad_token_id": "pad_token_id",
    }

    vocab_size: Positive = 32000
    hidden_size: Positive = 2048
    num_layers: Positive = 22
    num_heads: Positive = 32
    num_key_value_heads: Positive | None = None
    head_dim: Positive | None = None
    intermediate_size: Positive = 5632
    seq_length: Positive = 2048
    rope_theta: Annotated[float, Field(gt=0)] = 10000.0
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    pad_token_id: int | None = None
    compute_dtype: DType = "float16"

    @model_validator(mode="after")
    def _check_heads(self) -> LlamaConfig:
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        if self.num_heads % self.key_value_heads:
            raise ValueError(
                f"num_heads={self.num_heads} is not a multiple of num_key_value_heads={self.num_key_value_heads}"
            )
        if self.head_width % 2:
            raise ValueError(f"the width of a head is {self.head_width}: rotary positions turn pairs of numbers")
        return self

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_heads

    @classmethod
    def from_dict(cls: type[L], data: Mapping[str, Any], **overrides: Any) -> L:
        """See the base class; raise UnsupportedError for rotary positions that are scaled."""
        known = dict(data)
        for key in ("rope_scaling", "rope_parameters"):  # as older files call it, and as newer ones do
            rope = known.pop(key, None) or {}
            kind = rope.get("rope_type", rope.get("type", "default"))
            if kind != "default":
                raise UnsupportedError(
                    f"rotary positions of the kind {kind!r} are not supported", value=kind,
                    hint="use a checkpoint whose config.json does not scale them",
                )  # fmt: skip
            if "rope_theta" in rope:
                known["rope_theta"] = rope["rope_theta"]
        return super().from_dict(known, **overrides)
