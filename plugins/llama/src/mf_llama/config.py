"""The hyper-parameters of Llama, Mistral, Mixtral and SmolLM3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, ExpertsSpec

Positive = Annotated[int, Field(gt=0)]


class LlamaConfig(DecoderConfig):
    """Configuration of Llama (Touvron et al., 2023; Grattafiori et al., 2024): the fields of ``DecoderConfig``."""

    model_type: ClassVar[str] = "llama"

    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 2


class MistralConfig(LlamaConfig):
    """Configuration of Mistral (Jiang et al., 2023): Llama with a sliding window in every layer if there is one."""

    model_type: ClassVar[str] = "mistral"

    hidden_size: Positive = 4096
    num_layers: Positive = 32
    num_key_value_heads: Positive | None = 8
    intermediate_size: Positive = 14336
    seq_length: Positive = 32768


class MixtralConfig(MistralConfig):
    """Configuration of Mixtral (Jiang et al., 2024): each token goes through a few of a layer's experts.

    Attributes:
        num_local_experts: Experts of a layer.
        num_experts_per_tok: How many of them each token goes through.
    """

    model_type: ClassVar[str] = "mixtral"
    json_names: ClassVar[Mapping[str, str]] = {
        **DecoderConfig.json_names, "num_local_experts": "num_local_experts",
        "num_experts_per_tok": "num_experts_per_tok",
    }  # fmt: skip

    num_local_experts: Positive = 8
    num_experts_per_tok: Positive = 2

    def experts_spec(self, layer: int) -> ExpertsSpec:
        """See the base class."""
        return ExpertsSpec(self.num_local_experts, self.num_experts_per_tok)


class SmolLM3Config(LlamaConfig):
    """Configuration of SmolLM3: Llama whose positions are not rotated in every fourth layer (Yang et al., 2025).

    Attributes:
        no_rope_layers: 1 for each layer whose positions are rotated, 0 for the others; None: every fourth is not.
        no_rope_layer_interval: Which of them are not, where ``no_rope_layers`` is None.
    """

    model_type: ClassVar[str] = "smollm3"

    vocab_size: Positive = 128256
    num_layers: Positive = 36
    num_heads: Positive = 16
    num_key_value_heads: Positive | None = 4
    intermediate_size: Positive = 11008
    seq_length: Positive = 65536
    rope_theta: Annotated[float, Field(gt=0)] = 5000000.0
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-6
    tie_word_embeddings: bool = True
    bos_token_id: TokenId = 128000
    eos_token_id: TokenIds = 128012
    pad_token_id: TokenId = 128004
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: Positive = 4

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        spec, given = super().attention_spec(layer), self.no_rope_layers
        rotates = bool(given[layer]) if given is not None else (layer + 1) % self.no_rope_layer_interval != 0
        return spec if rotates else replace(spec, rotary=None)
