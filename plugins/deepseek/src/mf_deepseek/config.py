"""The hyper-parameters of DeepSeek-V2 and DeepSeek-V3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mf_core.config import TokenId, TokenIds
from mf_core.models import AttentionSpec, DecoderConfig, ExpertsSpec, FeedForwardSpec, LatentSpec, NormSpec, RotarySpec

Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class DeepseekV2Config(DecoderConfig):
    """Configuration of DeepSeek-V2 (DeepSeek-AI, 2024): latent attention, and experts of which some are shared.

    Attributes:
        kv_lora_rank: Width of the latent that keys and values are made of.
        q_lora_rank: Width of that of queries; None: they are made of the hidden states.
        qk_nope_head_dim, qk_rope_head_dim: Elements of a head of queries and keys that are not, and that are rotated.
        v_head_dim: Width of a head of values.
        first_k_dense_replace: How many of the first layers have no experts.
        n_routed_experts, num_experts_per_tok: Experts of a layer, and how many of them each token goes through.
        n_shared_experts: Experts that all tokens go through.
        moe_intermediate_size: Width of an expert.
        topk_method: Whether groups of experts are chosen first (``"group_limited_greedy"``).
        n_group, topk_group: Groups of experts, and how many of them are chosen first.
        routed_scaling_factor: Factor of the experts' weights.
        attention_dropout: Of attention's weights, in training.
    """

    model_type: ClassVar[str] = "deepseek_v2"
    json_names: ClassVar[Mapping[str, str]] = {
        **DecoderConfig.json_names,
        **{name: name for name in (
            "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
            "first_k_dense_replace", "n_routed_experts", "n_shared_experts", "num_experts_per_tok",
            "moe_intermediate_size", "n_group", "topk_group", "routed_scaling_factor",
        )},
    }  # fmt: skip
    aliases: ClassVar[Mapping[str, str]] = {
        **DecoderConfig.aliases, "num_experts": "n_routed_experts", "num_local_experts": "n_routed_experts",
    }  # fmt: skip
    unused: ClassVar[frozenset[str]] = frozenset({
        "num_key_value_heads", "head_dim", "mlp_bias", "partial_rotary_factor", "sliding_window", "layer_types",
    })  # fmt: skip

    vocab_size: Positive = 102400
    num_layers: Positive = 27
    num_heads: Positive = 16
    intermediate_size: Positive = 10944
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-6
    bos_token_id: TokenId = 100000
    eos_token_id: TokenIds = 100001
    kv_lora_rank: Positive = 512
    q_lora_rank: Positive | None = 1536
    qk_nope_head_dim: Positive = 128
    qk_rope_head_dim: Positive = 64
    v_head_dim: Positive = 128
    first_k_dense_replace: Annotated[int, Field(ge=0)] = 0
    n_routed_experts: Positive = 64
    num_experts_per_tok: Positive = 6
    n_shared_experts: Positive = 2
    moe_intermediate_size: Positive = 1408
    topk_method: Literal["greedy", "group_limited_greedy", "noaux_tc"] = "greedy"
    n_group: Positive | None = None
    topk_group: Positive | None = None
    routed_scaling_factor: float = 1.0
    attention_dropout: Probability = 0.0

    @model_validator(mode="after")
    def _check_experts(self) -> DeepseekV2Config:
        groups, chosen = self.expert_groups
        if self.n_routed_experts % groups or chosen > groups:
            raise ValueError(f"{self.n_routed_experts} experts, n_group={groups}, topk_group={chosen} do not fit")
        if self.num_experts_per_tok > self.n_routed_experts // groups * chosen:
            raise ValueError(f"num_experts_per_tok={self.num_experts_per_tok} is more than the chosen groups have")
        return self

    @property
    def rotary_width(self) -> int:
        """See the base class."""
        return self.qk_rope_head_dim

    @property
    def head_width(self) -> int:
        """Width of a head of queries and keys."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def expert_groups(self) -> tuple[int, int]:
        """Groups of experts, and how many of them are chosen first."""
        return (self.n_group or 1, self.topk_group or 1) if self.topk_method == "group_limited_greedy" else (1, 1)

    def rotary_spec(self, layer: int) -> RotarySpec:
        """See the base class."""
        return replace(super().rotary_spec(layer), interleaved=True)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class; YaRN's temperature (Peng et al., 2023, section 3.4) is a factor of the scores."""
        rope, scale = self.rope_scaling or {}, self.head_width**-0.5
        if rope.get("mscale_all_dim") and rope.get("factor", 1) > 1:
            scale *= (0.1 * rope["mscale_all_dim"] * math.log(rope["factor"]) + 1) ** 2
        latent = LatentSpec(
            self.kv_lora_rank, self.qk_rope_head_dim, self.v_head_dim, self.q_lora_rank, NormSpec("rms", 1e-6)
        )
        return replace(super().attention_spec(layer), scale=scale, latent=latent, dropout=self.attention_dropout)

    def experts_spec(self, layer: int) -> ExpertsSpec | None:
        """See the base class."""
        if layer < self.first_k_dense_replace:
            return None
        groups, chosen = self.expert_groups
        return ExpertsSpec(
            self.n_routed_experts, self.num_experts_per_tok, normalize=False, groups=groups, chosen_groups=chosen,
            shared=self.n_shared_experts * self.moe_intermediate_size, scale=self.routed_scaling_factor,
        )  # fmt: skip

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """See the base class."""
        spec = super().feed_forward_spec(layer)
        return spec if spec.experts is None else replace(spec, inner=self.moe_intermediate_size)


class DeepseekV3Config(DeepseekV2Config):
    """Configuration of DeepSeek-V3 (DeepSeek-AI, 2024): experts are weighed by sigmoids, and chosen with a correction.

    Attributes:
        norm_topk_prob: Whether the weights of the chosen experts are divided by their sum.
        rope_interleave: Whether the elements of a head that are rotated together are neighbours.
    """

    model_type: ClassVar[str] = "deepseek_v3"
    json_names: ClassVar[Mapping[str, str]] = {**DeepseekV2Config.json_names, "norm_topk_prob": "norm_topk_prob"}

    vocab_size: Positive = 129280
    hidden_size: Positive = 7168
    num_layers: Positive = 61
    num_heads: Positive = 128
    intermediate_size: Positive = 18432
    seq_length: Positive = 4096
    bos_token_id: TokenId = 0
    eos_token_id: TokenIds = 1
    first_k_dense_replace: Annotated[int, Field(ge=0)] = 3
    n_routed_experts: Positive = 256
    num_experts_per_tok: Positive = 8
    n_shared_experts: Positive = 1
    moe_intermediate_size: Positive = 2048
    topk_method: Literal["greedy", "group_limited_greedy", "noaux_tc"] = "noaux_tc"
    n_group: Positive | None = 8
    topk_group: Positive | None = 4
    routed_scaling_factor: float = 2.5
    norm_topk_prob: bool = True
    rope_interleave: bool = True

    @property
    def expert_groups(self) -> tuple[int, int]:
        """See the base class."""
        return self.n_group or 1, self.topk_group or 1

    def rotary_spec(self, layer: int) -> RotarySpec:
        """See the base class."""
        return replace(super().rotary_spec(layer), interleaved=self.rope_interleave)

    def experts_spec(self, layer: int) -> ExpertsSpec | None:
        """See the base class."""
        spec = super().experts_spec(layer)
        more: dict[str, Any] = {"normalize": self.norm_topk_prob, "sigmoid": True, "correction": True}
        return None if spec is None else replace(spec, **more)
