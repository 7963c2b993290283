"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners").

Shapes: B batch, S tokens, E hidden size, V vocabulary. Parameter names are those of Hugging Face's checkpoints.
"""

from __future__ import annotations

from typing import ClassVar

from mindspore import Parameter, Tensor, nn, ops

from mf_core import PretrainedModel
from mf_core.nn import (
    ACTIVATIONS,
    Attention,
    CausalBias,
    DecoderLayer,
    Dropout,
    Embedding,
    HeadDropout,
    LayerNorm,
    LayerParts,
    Linear,
    Operators,
    ms_dtype,
    positions,
)
from mf_core.parallel import ParallelPlan

from .config import GPT2Config


def _norm(config: GPT2Config) -> LayerNorm:
    return LayerNorm(
        config.hidden_size,
        epsilon=config.layernorm_epsilon,
        param_dtype=config.param_init_type,
        dtype=config.layernorm_compute_type,
    )


class GPT2Attention(nn.Cell):
    """Masked multi-head self-attention."""

    operators: ClassVar[Operators] = {"three": ("rows - -",)}

    def __init__(self, config: GPT2Config, layer: int, dtype: str) -> None:
        super().__init__()
        width, kind, std = config.hidden_size, config.param_init_type, config.initializer_range
        self.num_heads = config.num_heads
        self.scale = (width // config.num_heads) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        self.softmax_dtype = ms_dtype(config.softmax_compute_type)
        self.c_attn = Linear(width, 3 * width, std=std, param_dtype=kind, dtype=dtype)
        # The residual stream adds up 2 * num_layers of these, so they begin smaller (section 2.3).
        self.c_proj = Linear(width, width, std=std / (2 * config.num_layers) ** 0.5, param_dtype=kind, dtype=dtype)
        self.three, self.attention = ops.Split(-1, 3), Attention(fused=True)
        self.attn_dropout = HeadDropout(config.attention_dropout_rate)
        self.resid_dropout = Dropout(config.hidden_dropout_rate)

    def construct(
        self, x: Tensor, bias: Tensor, slots: Tensor | None, keys: Parameter | None, values: Parameter | None
    ) -> Tensor:
        """Return ``(B, S, E)``; with ``slots``, new keys and values are written to the cache, which is attended to."""
        query, key, value = self.three(self.c_attn(x))
        heads, dtype = self.num_heads, self.softmax_dtype
        if slots is None:
            seen = self.attention.see(
                query, key, value, bias, self.scale, heads, dtype=dtype, dropout=self.attn_dropout
            )
        else:
            seen = self.attention.see_cached(
                query, key, value, bias, self.scale, heads, slots, keys, values, dtype=dtype
            )
        return self.resid_dropout(self.c_proj(seen))


class GPT2MLP(nn.Cell):
    """Two linear layers with the activation between."""

    def __init__(self, config: GPT2Config, dtype: str) -> None:
        super().__init__()
        width, inner, kind, std = config.hidden_size, config.ffn_size, config.param_init_type, config.initializer_range
        self.c_fc = Linear(width, inner, std=std, param_dtype=kind, dtype=dtype)
        self.c_proj = Linear(inner, width, std=std / (2 * config.num_layers) ** 0.5, param_dtype=kind, dtype=dtype)
        self.act = ACTIVATIONS[config.activation_name]()
        self.dropout = Dropout(config.hidden_dropout_rate)

    def construct(self, x: Tensor) -> Tensor:
        """``(B, S, E)`` to the same."""
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))


class GPT2Block(DecoderLayer):
    """One layer: attention and MLP, each after a layer norm and around a residual."""

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, config: GPT2Config, layer: int, dtype: str) -> None:
        super().__init__()
        self.ln_1 = _norm(config)
        self.attn = GPT2Attention(config, layer, dtype)
        self.ln_2 = _norm(config)
        self.mlp = GPT2MLP(config, dtype)
        self.add = ops.Add()
        self.post_layernorm_residual = config.post_layernorm_residual

    def construct(
        self, x: Tensor, bias: Tensor, slots: Tensor | None, keys: Parameter | None, values: Parameter | None
    ) -> Tensor:
        """``(B, S, E)`` to the same."""
        if self.can_fuse(x, slots):
            x = self.fuse(x, bias, slots, keys, values)
        else:
            normed = self.ln_1(x)
            x = self.add(normed if self.post_layernorm_residual else x, self.attn(normed, bias, slots, keys, values))
            normed = self.ln_2(x)
            x = self.add(normed if self.post_layernorm_residual else x, self.mlp(normed))
        return x

    def parts(self) -> LayerParts:
        """See the base class."""
        attn, mlp = self.attn, self.mlp
        return LayerParts(
            norms=(self.ln_1, self.ln_2), query_key_value=(attn.c_attn,), attention=attn.attention, output=attn.c_proj,
            up=(mlp.c_fc,), activation=mlp.act, down=mlp.c_proj, scale=attn.scale, softmax_dtype=attn.softmax_dtype,
            normed_residual=self.post_layernorm_residual,
        )  # fmt: skip


class GPT2Model(nn.Cell):
    """The body: token and position embeddings, the layers, a last layer norm."""

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, config: GPT2Config, dtype: str) -> None:
        super().__init__()
        size, kind, std = config.hidden_size, config.param_init_type, config.initializer_range
        self.wte = Embedding(config.vocab_size, size, std=std, param_dtype=kind, dtype=dtype)
        self.wpe = Embedding(config.seq_length, size, std=std, param_dtype=kind, dtype=dtype)
        self.add = ops.Add()
        self.drop = Dropout(config.embedding_dropout_prob)
        self.h = nn.CellList([GPT2Block(config, layer, dtype) for layer in range(config.num_layers)])
        self.ln_f = _norm(config)
        self.layers = tuple(range(config.num_layers))
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
        x = self.drop(self.add(self.wte(input_ids), self.wpe(position_ids))) if hidden is None else hidden
        for i in self.layers:
            if keys is None or values is None:
                x = self.h[i](x, bias, None, None, None)
            else:
                x = self.h[i](x, bias, slots, keys[i], values[i])
        return self.ln_f(x) if self.is_last else x


class GPT2LMHeadModel(PretrainedModel):
    """GPT-2 with its language-model head, which is the token embedding unless ``tie_word_embeddings`` is False."""

    config_class: ClassVar[type[GPT2Config]] = GPT2Config
    checkpoint_prefix: ClassVar[str] = "transformer."
    # Causal masks that old checkpoints carry, and the head's second name for the embedding.
    ignored_keys: ClassVar[tuple[str, ...]] = (r"(^|\.)h\.\d+\.attn\.(masked_)?bias$", r"^lm_head\.weight$")
    lora_targets: ClassVar[tuple[str, ...]] = ("c_attn",)
    parallel_plan: ClassVar[ParallelPlan] = ParallelPlan(
        columns={"transformer.h.*.attn.c_attn": 3, "transformer.h.*.mlp.c_fc": 1},
        rows=("transformer.h.*.attn.c_proj", "transformer.h.*.mlp.c_proj"),
        heads=("transformer.h.*.attn",),
        vocabulary=("transformer.wte", "lm_head"),
        layers=("transformer.h.*",),
        first=("transformer.wte", "transformer.wpe"),
        last=("transformer.ln_f", "lm_head", "transformer.wte"),
    )

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config, self.compute_dtype)
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
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding, or ``(B, S, S)``, 1 where a token (second axis)
                may look at another (third axis) that is not after it; None: no padding.
            position_ids: ``(B, S)`` int32; None: counted from 0, without padding; to be given with a
                mask of three axes.

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
            if attention_mask is None:
                position_ids = ops.broadcast_to(ops.arange(length).reshape((1, length)), input_ids.shape)
            else:
                position_ids = positions(attention_mask)
        bias = self.causal_bias(attention_mask, length)
        return self.transformer(input_ids, position_ids, bias, hidden=hidden)

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """See the base class."""
        head = self.transformer.wte if self.lm_head is None else self.lm_head
        return head.attend(hidden, whole=whole)

    def cut(self, layers: range, *, is_last: bool) -> None:
        """See the base class."""
        self.transformer.layers, self.transformer.is_last = tuple(layers), is_last

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
        hidden = self.transformer(input_ids, position_ids, bias, slots, keys, values)
        return self.head(hidden[:, -1] if logits_to_keep is None else hidden[:, -logits_to_keep:])

    @property
    def blocks(self) -> nn.CellList:
        """The layers."""
        return self.transformer.h

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, heads and head width of the cache."""
        config = self.config
        return config.num_layers, config.num_heads, config.hidden_size // config.num_heads
