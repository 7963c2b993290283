"""PanGu-alpha's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mf_core.config import DType, TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderSpec, ExpertsSpec, FeedForwardSpec, GPTConfig, LayerSpec

Positive = Annotated[int, Field(gt=0)]


class PanguAlphaConfig(GPTConfig):
    """Configuration of PanGu-alpha. Fields may also be given by the names that Hugging Face's users know (``n_embd``).

    See :class:`mf_core.models.GPTConfig` for the other fields; ``num_layers`` counts the top query layer.

    Attributes:
        ffn_hidden_size: Width of the feed-forward layers (``intermediate_size``), independent of ``hidden_size``.
        bos_token_id, eos_token_id, eod_token_id, pad_token_id: Special tokens; EOS ends a generated text, EOD a
            document of training data.
        use_moe: Whether the blocks below the top query layer have ``expert_num`` experts instead of one feed-forward
            layer. Without it, or with one expert, the next three fields have no effect.
        expert_num: Experts of a block.
        per_token_num_experts_chosen: Experts that each token is routed to.
        aux_loss_factor: Weight of the load-balancing loss.
        softmax_compute_type: Type of attention's softmax. The default applies where the model computes in float16; in
            other types the softmax is float32 unless this is set.
    """

    model_type: ClassVar[str] = "pangualpha"
    #: Fields that ``config.json`` always has: there they go by the names they have here.
    json_names: ClassVar[Mapping[str, str]] = {
        name: name
        for name in (
            "seq_length", "vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_hidden_size", "hidden_act",
            "eos_token_id", "pad_token_id", "embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate",
            "layernorm_epsilon", "initializer_range",
        )
    }  # fmt: skip
    aliases: ClassVar[Mapping[str, str]] = {
        "max_position_embeddings": "seq_length",
        "n_positions": "seq_length",
        "n_embd": "hidden_size",
        "num_hidden_layers": "num_layers",
        "n_layer": "num_layers",
        "num_attention_heads": "num_heads",
        "n_head": "num_heads",
        "intermediate_size": "ffn_hidden_size",
        "n_inner": "ffn_hidden_size",
        "activation_function": "hidden_act",
        "embd_pdrop": "embedding_dropout_prob",
        "resid_pdrop": "hidden_dropout_rate",
        "hidden_dropout_prob": "hidden_dropout_rate",
        "attn_pdrop": "attention_dropout_rate",
        "attention_probs_dropout_prob": "attention_dropout_rate",
        "layer_norm_epsilon": "layernorm_epsilon",
        "layer_norm_eps": "layernorm_epsilon",
        "num_local_experts": "expert_num",
        "num_experts_per_tok": "per_token_num_experts_chosen",
        "router_aux_loss_coef": "aux_loss_factor",
    }

    vocab_size: Positive = 40000
    hidden_size: Positive = 2560
    num_layers: Positive = 32
    num_heads: Positive = 32
    ffn_hidden_size: Positive = 10240
    hidden_act: str = "fast_gelu"
    eos_token_id: TokenIds = 8
    eod_token_id: TokenId = None
    pad_token_id: TokenId = 6
    use_moe: bool = False
    expert_num: Positive = 1
    per_token_num_experts_chosen: Positive = 1
    aux_loss_factor: Annotated[float, Field(ge=0)] = 0.05
    tie_word_embeddings: Literal[True] = True
    softmax_compute_type: DType = "float16"

    @model_validator(mode="after")
    def _check_experts(self) -> PanguAlphaConfig:
        if self.use_moe and self.per_token_num_experts_chosen > self.expert_num:
            raise ValueError(
                f"per_token_num_experts_chosen={self.per_token_num_experts_chosen} is more than "
                f"expert_num={self.expert_num}"
            )
        return self

    @property
    def has_experts(self) -> bool:
        """Whether the blocks are mixtures of experts."""
        return self.use_moe and self.expert_num > 1

    @property
    def ffn_size(self) -> int:
        """See the base class."""
        return self.ffn_hidden_size

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        spec = super().attention_spec(layer)
        return spec if "softmax_compute_type" in self.model_fields_set else replace(spec, softmax_dtype=None)

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class; the last layer is the top query layer, which has no experts."""
        spec, chosen = super().feed_forward_spec(layer), self.per_token_num_experts_chosen
        if not self.has_experts or layer == self.num_layers - 1:
            return spec
        return replace(spec, experts=ExpertsSpec(self.expert_num, chosen, normalize=chosen > 1, outputs_first=False))

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """See the base class."""
        return replace(super().decoder_spec(layers), auxiliary_loss=self.aux_loss_factor)
