"""PanGu-alpha (Zeng et al., 2021, "PanGu-α: Large-scale Autoregressive Pretrained Chinese Language Models").

GPT's decoder, with a top query layer: the last layer's queries are not made of the hidden states, but are learned
embeddings of the positions, which ask "what comes next after this place?" (section 2.2).

Shapes: B batch, S tokens, E hidden size, V vocabulary, T keys (S, or the cache's places).

The parameters' names, with the layers counted from 0 and the linear weights as ``(in, out)``::

    backbone.word_embedding.weight, backbone.position_embedding.weight, backbone.top_query_embedding.weight
    backbone.blocks.0.layernorm1.{weight,bias}, backbone.blocks.0.layernorm2.{weight,bias}
    backbone.blocks.0.attention.{query,key,value,projection}.{weight,bias}
    backbone.blocks.0.mlp.{mapping,projection}.{weight,bias}
    backbone.blocks.0.mlp.router.weight, backbone.blocks.0.mlp.experts.0.…     with experts, in place of the line above
    backbone.layernorm.{weight,bias}
    backbone.top_query_layer.…                                                 like a block without experts
"""

from __future__ import annotations

from typing import ClassVar

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

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

from .config import PanguAlphaConfig
from .experts import MixtureOfExperts, Router


def _norm(config: PanguAlphaConfig) -> LayerNorm:
    return LayerNorm(
        config.hidden_size,
        epsilon=config.layernorm_epsilon,
        param_dtype=config.param_init_type,
        dtype=config.layernorm_compute_type,
    )


class PanguAlphaAttention(nn.Cell):
    """Masked multi-head attention, whose queries may be made of something else than the keys and values."""

    def __init__(self, config: PanguAlphaConfig, dtype: str) -> None:
        super().__init__()
        width, kind, std = config.hidden_size, config.param_init_type, config.initializer_range
        self.num_heads = config.num_heads
        self.scale = (width // config.num_heads) ** -0.5
        is_set = "softmax_compute_type" in config.model_fields_set
        self.softmax_dtype = ms_dtype(config.softmax_compute_type) if is_set else None
        self.query = Linear(width, width, std=std, param_dtype=kind, dtype=dtype)
        self.key = Linear(width, width, std=std, param_dtype=kind, dtype=dtype)
        self.value = Linear(width, width, std=std, param_dtype=kind, dtype=dtype)
        # The residual stream adds up 2 * num_layers of these, so they begin smaller, as GPT-2's do.
        self.projection = Linear(width, width, std=std / (2 * config.num_layers) ** 0.5, param_dtype=kind, dtype=dtype)
        self.core = Attention(fused=True)
        self.attention_dropout = HeadDropout(config.attention_dropout_rate)
        self.hidden_dropout = Dropout(config.hidden_dropout_rate)

    def construct(
        self, asking: Tensor, x: Tensor, bias: Tensor, slots: Tensor | None, keys: Parameter | None,
        values: Parameter | None,
    ) -> Tensor:  # fmt: skip
        """Return the attended values for each query, ``(B, Q, E)``.

        Args:
            asking: ``(B, Q, E)``, what queries are made of.
            x: ``(B, S, E)``, what keys and values are made of.
            bias: ``(B or 1, 1, Q, T)``.
            slots, keys, values: The cache, to which new keys and values are written and which is attended to; or None.
        """
        query, key, value = self.query(asking), self.key(x), self.value(x)
        dtype = self.softmax_dtype
        if dtype is None:
            dtype = mstype.float16 if query.dtype == mstype.float16 else mstype.float32
        heads = self.num_heads
        if slots is None:
            seen = self.core.see(
                query, key, value, bias, self.scale, heads, dtype=dtype, dropout=self.attention_dropout
            )
        else:
            seen = self.core.see_cached(query, key, value, bias, self.scale, heads, slots, keys, values, dtype=dtype)
        return self.hidden_dropout(self.projection(seen))


class PanguAlphaMLP(nn.Cell):
    """Two linear layers with the activation between."""

    def __init__(self, config: PanguAlphaConfig, dtype: str) -> None:
        super().__init__()
        width, inner, kind = config.hidden_size, config.ffn_hidden_size, config.param_init_type
        std = config.initializer_range
        self.mapping = Linear(width, inner, std=std, param_dtype=kind, dtype=dtype)
        self.projection = Linear(inner, width, std=std / (2 * config.num_layers) ** 0.5, param_dtype=kind, dtype=dtype)
        self.act = ACTIVATIONS[config.activation_name]()
        self.dropout = Dropout(config.hidden_dropout_rate)

    def construct(self, x: Tensor) -> Tensor:
        """``(…, E)`` to the same."""
        return self.dropout(self.projection(self.act(self.mapping(x))))


def _experts(config: PanguAlphaConfig, dtype: str) -> MixtureOfExperts:
    router = Router(
        config.hidden_size, config.expert_num, config.per_token_num_experts_chosen,
        std=config.initializer_range, param_dtype=config.param_init_type,
    )  # fmt: skip
    return MixtureOfExperts(router, [PanguAlphaMLP(config, dtype) for _ in range(config.expert_num)])


def _parts(layer: PanguAlphaBlock | PanguAlphaQueryLayer) -> LayerParts:
    attention, mlp = layer.attention, layer.mlp
    return LayerParts(
        norms=(layer.layernorm1, layer.layernorm2), query_key_value=(attention.query, attention.key, attention.value),
        attention=attention.core, output=attention.projection, up=(mlp.mapping,), activation=mlp.act,
        down=mlp.projection, scale=attention.scale, softmax_dtype=attention.softmax_dtype or mstype.float32,
        normed_residual=layer.post_layernorm_residual,
    )  # fmt: skip


class PanguAlphaBlock(DecoderLayer):
    """One layer: attention and MLP, each after a layer norm and around a residual."""

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, config: PanguAlphaConfig, dtype: str) -> None:
        super().__init__()
        self.layernorm1 = _norm(config)
        self.attention = PanguAlphaAttention(config, dtype)
        self.layernorm2 = _norm(config)
        self.has_experts = config.has_experts
        self.mlp = _experts(config, dtype) if self.has_experts else PanguAlphaMLP(config, dtype)
        self.add = ops.Add()
        self.post_layernorm_residual = config.post_layernorm_residual

    def construct(
        self, x: Tensor, counted: Tensor | None, bias: Tensor, slots: Tensor | None, keys: Parameter | None,
        values: Parameter | None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """``(B, S, E)`` to the same; with experts and ``counted`` ``(B, S)``, also their balance loss."""
        if self.can_fuse(x, slots):
            return self.fuse(x, bias, slots, keys, values)
        normed = self.layernorm1(x)
        attended = self.attention(normed, normed, bias, slots, keys, values)
        x = self.add(normed if self.post_layernorm_residual else x, attended)
        normed = self.layernorm2(x)
        residual = normed if self.post_layernorm_residual else x
        if self.has_experts and counted is not None:
            y, loss = self.mlp(normed, counted)
            return self.add(residual, y), loss
        return self.add(residual, self.mlp(normed))

    def parts(self) -> LayerParts | None:
        """See the base class."""
        return None if self.has_experts else _parts(self)


class PanguAlphaQueryLayer(DecoderLayer):
    """The top layer, whose queries are learned for each position."""

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, config: PanguAlphaConfig, dtype: str) -> None:
        super().__init__()
        self.layernorm1 = _norm(config)
        self.attention = PanguAlphaAttention(config, dtype)
        self.layernorm2 = _norm(config)
        self.mlp = PanguAlphaMLP(config, dtype)
        self.add = ops.Add()
        self.post_layernorm_residual = config.post_layernorm_residual

    def construct(
        self, x: Tensor, asking: Tensor, bias: Tensor, slots: Tensor | None, keys: Parameter | None,
        values: Parameter | None,
    ) -> Tensor:  # fmt: skip
        """Return ``(B, Q, E)`` for the last Q tokens, on which no layer norm follows.

        Args:
            x: ``(B, S, E)``.
            asking: ``(B, Q, E)``, the last Q positions' query embeddings.
            bias: ``(B or 1, 1, Q, T)``.
            slots, keys, values: The cache, or None.
        """
        if self.can_fuse(x, slots):
            x = self.fuse(x, bias, slots, keys, values, asking=asking)
        else:
            normed = self.layernorm1(x)
            residual = normed if self.post_layernorm_residual else x
            if asking.shape[1] != x.shape[1]:
                residual = residual[:, -asking.shape[1] :]
            x = self.add(residual, self.attention(asking, normed, bias, slots, keys, values))
            normed = self.layernorm2(x)
            x = self.add(normed if self.post_layernorm_residual else x, self.mlp(normed))
        return x

    def parts(self) -> LayerParts:
        """See the base class."""
        return _parts(self)


class PanguAlphaModel(nn.Cell):
    """The body: embeddings, ``num_layers - 1`` blocks, a layer norm, the top query layer."""

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, config: PanguAlphaConfig, dtype: str) -> None:
        super().__init__()
        size, kind, std = config.hidden_size, config.param_init_type, config.initializer_range
        self.word_embedding = Embedding(config.vocab_size, size, std=std, param_dtype=kind, dtype=dtype)
        self.position_embedding = Embedding(config.seq_length, size, std=std, param_dtype=kind, dtype=dtype)
        self.add = ops.Add()
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.num_blocks = config.num_layers - 1
        self.blocks = nn.CellList([PanguAlphaBlock(config, dtype) for _ in range(self.num_blocks)])
        self.layernorm = _norm(config)
        self.top_query_embedding = Embedding(config.seq_length, size, std=std, param_dtype=kind, dtype=dtype)
        self.top_query_layer = PanguAlphaQueryLayer(config, dtype)
        self.has_experts = config.has_experts
        self.no_loss = Tensor(0.0, mstype.float32)
        self.layers = tuple(range(self.num_blocks))
        self.is_last = True

    def construct(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        bias: Tensor,
        slots: Tensor | None = None,
        keys: tuple[Parameter, ...] | None = None,
        values: tuple[Parameter, ...] | None = None,
        counted: Tensor | None = None,
        hidden: Tensor | None = None,
        last: int = 1,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the hidden states ``(B, S, E)``, with a cache the last tokens' ``(B, last, E)``.

        With ``counted``, ``(B, S)`` fp32, 1 for tokens and 0 for padding, also the sum of the experts' balance losses.
        With ``hidden``, in a stage of a pipeline that is not the first, what its layers make of that.
        """
        if hidden is None:
            x = self.dropout(self.add(self.word_embedding(input_ids), self.position_embedding(position_ids)))
        else:
            x = hidden
        total = self.no_loss
        for i in self.layers:
            key, value = (None, None) if keys is None or values is None else (keys[i], values[i])
            if self.has_experts and counted is not None:
                x, loss = self.blocks[i](x, counted, bias, slots, key, value)
                total = total + loss
            else:
                x = self.blocks[i](x, None, bias, slots, key, value)
        if not self.is_last:
            return x if counted is None else (x, total)
        x = self.layernorm(x)
        if keys is not None and values is not None:
            asking = self.top_query_embedding(position_ids[:, -last:])
            top = self.num_blocks
            return self.top_query_layer(x, asking, bias[:, :, -last:], slots, keys[top], values[top])
        x = self.top_query_layer(x, self.top_query_embedding(position_ids), bias, None, None, None)
        return x if counted is None else (x, total)


def _places(input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None) -> Tensor:
    """Return each token's position ``(B, S)`` int32, as given or else counted from 0."""
    places = position_ids
    if places is None:
        if attention_mask is None or attention_mask.ndim == 3:
            places = ops.arange(input_ids.shape[1]).reshape((1, -1))
        else:
            places = positions(attention_mask)
    return ops.broadcast_to(ops.cast(places, mstype.int32), input_ids.shape)


class PanguAlphaHeadModel(PretrainedModel):
    """PanGu-alpha with its language-model head, which shares the word embedding's weight."""

    config_class: ClassVar[type[PanguAlphaConfig]] = PanguAlphaConfig
    checkpoint_prefix: ClassVar[str] = "backbone."
    lora_targets: ClassVar[tuple[str, ...]] = ("query", "value")
    parallel_plan: ClassVar[ParallelPlan] = ParallelPlan(
        columns={
            "backbone.*.attention.query": 1,
            "backbone.*.attention.key": 1,
            "backbone.*.attention.value": 1,
            "backbone.*.mapping": 1,
        },
        rows=("backbone.*.projection",),
        heads=("backbone.*.attention",),
        vocabulary=("backbone.word_embedding",),
        layers=("backbone.blocks.*", "backbone.top_query_layer"),
        first=("backbone.word_embedding", "backbone.position_embedding"),
        last=("backbone.layernorm", "backbone.top_query_embedding", "backbone.word_embedding"),
        experts=("backbone.blocks.*.mlp.experts.*",),
    )

    def __init__(self, config: PanguAlphaConfig) -> None:
        super().__init__(config)
        self.backbone = PanguAlphaModel(config, self.compute_dtype)
        self.causal_bias = CausalBias()
        self.aux_loss_factor = config.aux_loss_factor
        self.has_auxiliary_loss = config.has_experts
        self.post_init()

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        input_position: Tensor | None = None,
    ) -> Tensor:
        """Return logits.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding, or ``(B, S, S)``, 1 where a token (second axis)
                may look at another (third axis) that is not after it; None: no padding.
            position_ids: ``(B or 1, S)`` int32; None: counted from 0, without the padding that a mask of two axes
                tells of.
            input_position: MindFormers' name of ``position_ids``.

        Returns:
            ``(B, S, V)`` fp32.
        """
        places = position_ids
        if input_position is not None:
            if position_ids is not None:
                raise ValueError("position_ids and input_position are two names of one thing: give one of them")
            places = input_position
        bias = self.causal_bias(attention_mask, input_ids.shape[1])
        return self.head(self.backbone(input_ids, _places(input_ids, attention_mask, places), bias))

    def body(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """See the base class. The loss is what training adds so that experts get equal parts.

        That is ``aux_loss_factor`` times the sum of the blocks' balance losses (see
        :class:`mf_pangualpha.experts.Router`), padding left out; a scalar fp32.
        """
        length = input_ids.shape[1]
        places, bias = _places(input_ids, attention_mask, position_ids), self.causal_bias(attention_mask, length)
        if not self.has_auxiliary_loss or not self.training:
            return self.backbone(input_ids, places, bias, hidden=hidden)
        if attention_mask is None:
            counted = ops.ones(input_ids.shape, mstype.float32)
        else:
            counted = ops.cast(attention_mask != 0, mstype.float32)
            if counted.ndim == 3:
                counted = (counted * ops.eye(length, length, mstype.float32)).sum(-1)  # padding does not see itself
        x, loss = self.backbone(input_ids, places, bias, counted=counted, hidden=hidden)
        return x, loss * self.aux_loss_factor

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """See the base class."""
        return self.backbone.word_embedding.attend(hidden, whole=whole)

    def cut(self, layers: range, *, is_last: bool) -> None:
        """See the base class."""
        blocks = self.backbone.num_blocks
        self.backbone.layers = tuple(layer for layer in layers if layer < blocks)
        self.backbone.is_last = is_last

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
        last = 1 if logits_to_keep is None else logits_to_keep
        hidden = self.backbone(input_ids, position_ids, bias, slots, keys, values, last=last)
        return self.backbone.word_embedding.attend(hidden[:, -1] if logits_to_keep is None else hidden)

    @property
    def blocks(self) -> tuple[nn.Cell, ...]:
        """The layers, the top query layer last."""
        return (*self.backbone.blocks, self.backbone.top_query_layer)

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, heads and head width of the cache."""
        config = self.config
        return config.num_layers, config.num_heads, config.hidden_size // config.num_heads
