"""Llama (Touvron et al., 2023, "LLaMA: Open and Efficient Foundation Language Models").

Shapes: B batch, S tokens, H heads, K key-value heads, D width of a head, E hidden size, V vocabulary. Parameter names
are those of Hugging Face's checkpoints.
"""

from __future__ import annotations

from typing import ClassVar

from mf_core import PretrainedModel
from mf_core.nn import (
    ACTIVATIONS,
    Attention,
    CausalBias,
    DecoderLayer,
    Embedding,
    LayerParts,
    Linear,
    RMSNorm,
    Rotary,
    ms_dtype,
    positions,
)
from mf_core.parallel import ParallelPlan
from mindspore import Parameter, Tensor, nn, ops

from .config import LlamaConfig


class LlamaAttention(nn.Cell):
    """Masked self-attention with rotary positions, in which a group of heads shares keys and values."""

    def __init__(self, config: LlamaConfig, dtype: str) -> None:
        super().__init__()
        width, size, std = config.hidden_size, config.head_width, config.initializer_range
        queries, keys, bias = config.num_heads * size, config.key_value_heads * size, config.attention_bias
        self.num_heads, self.scale = config.num_heads, size**-0.5
        self.q_proj = Linear(width, queries, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.k_proj = Linear(width, keys, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.v_proj = Linear(width, keys, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.o_proj = Linear(queries, width, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.rotary = Rotary(size, config.seq_length, config.rope_theta)
        self.attention = Attention(fused=True)
        self.softmax_dtype = ms_dtype("float32")

    def construct(
        self,
        x: Tensor,
        position_ids: Tensor,
        bias: Tensor,
        slots: Tensor | None,
        keys: Parameter | None,
        values: Parameter | None,
    ) -> Tensor:
        """Return ``(B, S, E)``; with ``slots``, new keys and values are written to the cache, which is attended to."""
        query, key = self.rotary(self.q_proj(x), position_ids), self.rotary(self.k_proj(x), position_ids)
        value, heads, dtype = self.v_proj(x), self.num_heads, self.softmax_dtype
        if slots is None:
            seen = self.attention.see(query, key, value, bias, self.scale, heads, dtype=dtype)
        else:
            seen = self.attention.see_cached(
                query, key, value, bias, self.scale, heads, slots, keys, values, dtype=dtype
            )
        return self.o_proj(seen)


class LlamaMLP(nn.Cell):
    """A gated feed-forward layer (Shazeer, 2020, "GLU Variants Improve Transformer")."""

    def __init__(self, config: LlamaConfig, dtype: str) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        std, bias = config.initializer_range, config.mlp_bias
        self.gate_proj = Linear(width, inner, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.up_proj = Linear(width, inner, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.down_proj = Linear(inner, width, std=std, bias=bias, dtype=dtype, outputs_first=True)
        self.act = ACTIVATIONS[config.hidden_act]()

    def construct(self, x: Tensor) -> Tensor:
        """``(B, S, E)`` to the same."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))


class LlamaBlock(DecoderLayer):
    """One layer: attention and MLP, each after a norm and around a residual."""

    def __init__(self, config: LlamaConfig, dtype: str) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, epsilon=config.rms_norm_eps)
        self.self_attn = LlamaAttention(config, dtype)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, epsilon=config.rms_norm_eps)
        self.mlp = LlamaMLP(config, dtype)

    def construct(
        self,
        x: Tensor,
        position_ids: Tensor,
        bias: Tensor,
        slots: Tensor | None,
        keys: Parameter | None,
        values: Parameter | None,
    ) -> Tensor:
        """``(B, S, E)`` to the same."""
        if self.can_fuse(x, slots):
            x = self.fuse(x, bias, slots, keys, values, position_ids=position_ids)
        else:
            x = x + self.self_attn(self.input_layernorm(x), position_ids, bias, slots, keys, values)
            x = x + self.mlp(self.post_attention_layernorm(x))
        return x

    def parts(self) -> LayerParts:
        """See the base class."""
        attn, mlp = self.self_attn, self.mlp
        return LayerParts(
            norms=(self.input_layernorm, self.post_attention_layernorm),
            query_key_value=(attn.q_proj, attn.k_proj, attn.v_proj), rotary=attn.rotary, attention=attn.attention,
            output=attn.o_proj, up=(mlp.gate_proj, mlp.up_proj), activation=mlp.act, down=mlp.down_proj,
            scale=attn.scale, softmax_dtype=attn.softmax_dtype,
        )  # fmt: skip


class LlamaModel(nn.Cell):
    """The body: token embeddings, the layers, a last norm."""

    def __init__(self, config: LlamaConfig, dtype: str) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size, std=config.initializer_range, dtype=dtype)
        self.layers = nn.CellList([LlamaBlock(config, dtype) for _ in range(config.num_layers)])
        self.norm = RMSNorm(config.hidden_size, epsilon=config.rms_norm_eps)
        self.own = tuple(range(config.num_layers))
        self.is_last = True

    def construct(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        bias: Tensor,
        slots: Tensor | None = None,
        keys: tuple[Parameter, ...] | None = None,
        values: tuple[Parameter, ...] | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden states ``(B, S, E)``; of ``hidden``, in a stage of a pipeline that is not the first."""
        x = self.embed_tokens(input_ids) if hidden is None else hidden
        for i in self.own:
            if keys is None or values is None:
                x = self.layers[i](x, position_ids, bias, None, None, None)
            else:
                x = self.layers[i](x, position_ids, bias, slots, keys[i], values[i])
        return self.norm(x) if self.is_last else x


class LlamaForCausalLM(PretrainedModel):
    """Llama with its language-model head."""

    config_class: ClassVar[type[LlamaConfig]] = LlamaConfig
    checkpoint_prefix: ClassVar[str] = "model."
    # What old checkpoints carry, and the head's name where it is the embedding.
    ignored_keys: ClassVar[tuple[str, ...]] = (r"\.rotary_emb\.inv_freq$", r"^lm_head\.weight$")
    lora_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")
    parallel_plan: ClassVar[ParallelPlan] = ParallelPlan(
        columns={f"model.layers.*.{name}": 1 for name in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj",
        )},
        rows=("model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"),
        heads=("model.layers.*.self_attn",),
        vocabulary=("model.embed_tokens", "lm_head"),
        layers=("model.layers.*",),
        first=("model.embed_tokens",),
        last=("model.norm", "lm_head", "model.embed_tokens"),  # the embedding, for where the head is tied to it
        outputs_first=True,
    )  # fmt: skip

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config, self.compute_dtype)
        size, std = config.hidden_size, config.initializer_range
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else Embedding(config.vocab_size, size, std=std, dtype=self.compute_dtype)
        self.causal_bias = CausalBias()
        self.post_init()

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Return logits.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding; None: no padding.
            position_ids: ``(B, S)`` int32; None: counted from 0, without padding.

        Returns:
            ``(B, S, V)`` fp32.
        """
        return self.head(self.body(input_ids, attention_mask, position_ids))

    def body(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """See the base class."""
        length = input_ids.shape[1]
        if position_ids is None:
            position_ids = positions(ops.ones_like(input_ids) if attention_mask is None else attention_mask)
        return self.model(input_ids, position_ids, self.causal_bias(attention_mask, length), hidden=hidden)

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """See the base class."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return head.attend(hidden, whole=whole)

    def cut(self, layers: range, *, is_last: bool) -> None:
        """See the base class."""
        self.model.own, self.model.is_last = tuple(layers), is_last

    def decode(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        bias: Tensor,
        slots: Tensor,
        keys: tuple[Parameter, ...],
        values: tuple[Parameter, ...],
        logits_to_keep: int | None = None,
    ) -> Tensor:
        """Return the last token's logits ``(B, V)`` fp32, or the last n tokens' ``(B, n, V)``; write to the cache."""
        hidden = self.model(input_ids, position_ids, bias, slots, keys, values)
        return self.head(hidden[:, -1] if logits_to_keep is None else hidden[:, -logits_to_keep:])

    @property
    def blocks(self) -> nn.CellList:
        """The layers."""
        return self.model.layers

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the cache."""
        config = self.config
        return config.num_layers, config.key_value_heads, config.head_width
