"""Decoders with a language-model head, built from a declaration.

A family says what it is made of, and gets the forward pass, cached decoding, the parallel plan, pipeline stages,
recomputation and LoRA from here::

    class LlamaForCausalLM(DecoderForCausalLM):
        config_class = LlamaConfig  # a DecoderConfig

Shapes: B batch, S tokens, E hidden size, V vocabulary, T keys (S, or the slots C of the cache).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..generation.cache import cache_nbytes
from ..nn import CausalBias, Dropout, Embedding, LayerCache, Operators, WindowBias, positions
from ..nn.decoder_pass import Decoder as DecoderArrays
from ..nn.kernels import kernel
from ..parallel.plan import ParallelPlan, plan_from_roles
from .base import PretrainedModel
from .decoder_arrays import ArraysReader
from .decoder_layer import DecoderLayer
from .experts import count_tokens
from .layer_spec import NAMES, DecoderSpec, LayerSpec
from .parts import NamedParts, Part, make_norm, python_property
from .self_attention import alibi_slopes

#: What a model is given of the key-value cache: one entry for each layer.
Cache = tuple[LayerCache, ...]


class Decoder(NamedParts):
    """The body: embeddings, the layers, a last norm.

    Args:
        spec: The declaration.
        names: See :class:`NamedParts`.
        dtype: Type of the products.

    Attributes:
        own: Numbers of the layers that are run, all of them unless the model is a stage of a pipeline.
        is_last: Whether what follows the layers is run.
    """

    layer_class: ClassVar[type[DecoderLayer]] = DecoderLayer

    embedding, position_embedding, embedding_norm = Part(), Part(), Part()
    layers, last_norm = Part(), Part()

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, spec: DecoderSpec, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        width, std, kind = spec.width, spec.std, spec.param_dtype
        table = Embedding(spec.vocabulary, width, std=std, param_dtype=kind, dtype=dtype, role="vocabulary")
        self.add_part("embedding", table)
        if spec.learned_positions:
            self.add_part("position_embedding", Embedding(spec.length, width, std=std, param_dtype=kind, dtype=dtype))
        if spec.embedding_norm is not None:
            self.add_part("embedding_norm", make_norm(spec.embedding_norm, width, kind))
        self.add_part("layers", nn.CellList([self.make_layer(layer, spec.length, dtype) for layer in spec.layers]))
        if spec.last_norm is not None:
            self.add_part("last_norm", make_norm(spec.last_norm, width, kind))
        self.add, self.dropout = ops.Add(), Dropout(spec.embedding_dropout)
        self.multiplier = spec.embedding_multiplier
        self.own, self.is_last = tuple(range(len(spec.layers))), True
        self.has_experts = any(layer.feed_forward.experts is not None for layer in spec.layers)
        self.no_loss = Tensor(0.0, mstype.float32)
        self._set_biases(spec.layers)
        rotary = [layer.attention.rotary for layer in spec.layers if layer.attention.rotary is not None]
        self.long_from = max((each.long_from for each in rotary if each.long_frequencies is not None), default=0)
        self.length = spec.length

    def make_layer(self, spec: LayerSpec, length: int, dtype: str) -> nn.Cell:
        """Return a layer."""
        return self.layer_class(spec, length, self.names, dtype)

    def _set_biases(self, layers: Sequence[LayerSpec]) -> None:
        """Find the kinds of biases that the layers need: each is made once a pass."""
        kinds = [(layer.attention.window, layer.attention.alibi) for layer in layers]
        distinct = list(dict.fromkeys(kinds))
        self.bias_of = tuple(distinct.index(kind) for kind in kinds)
        self.windows = nn.CellList([WindowBias(window or 1 << 30) for window, _ in distinct])
        self.alibi = tuple(alibi for _, alibi in distinct)
        self.is_plain = distinct == [(None, False)]  # one bias, as it comes, for all layers
        heads = max((layer.attention.heads for layer in layers), default=1)
        self.slopes: Any = Tensor(alibi_slopes(heads).reshape((1, -1, 1, 1))) if any(self.alibi) else None

    def construct(
        self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, cache: Cache | None = None,
        counted: Tensor | None = None, hidden: Tensor | None = None, last: int | None = None,
        is_long: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Return the hidden states ``(B, S, E)``; with ``counted``, also the sum of the layers' auxiliary losses.

        Args:
            input_ids, position_ids: ``(B, S)`` int32.
            bias: ``(B or 1, 1, S, T)``: 0 where a token may attend.
            cache: One entry for each layer; None: the tokens attend to each other.
            counted: ``(B, S)`` fp32, 1 for tokens and 0 for padding; None: no loss is wanted.
            hidden: In a stage of a pipeline that is not the first, what the stage before returned.
            last: Number of last tokens whose hidden states are needed; those of others may be left out. None: all.
            is_long: ``(B, 1)`` int32, 1 for texts of more than ``long_from`` tokens, those of other passes included;
                None: the last position in this pass says it.
        """
        x = self.embed(input_ids, position_ids) if hidden is None else hidden
        total = self.no_loss
        biases = (bias,) if self.is_plain else self.biases(bias, position_ids, cache is not None)
        rotary_ids = self.rotary_ids(position_ids, is_long)
        for i in self.own:
            entry = None if cache is None else cache[i]
            if self.has_experts and counted is not None and self.layers[i].has_experts:
                x, loss = self.layers[i](x, rotary_ids, biases[self.bias_of[i]], entry, counted)
                total = total + loss
            else:
                x = self.layers[i](x, rotary_ids, biases[self.bias_of[i]], entry)
        if self.is_last:
            x = self.finish(x, position_ids, bias, cache, last)
        return x if counted is None else (x, total)

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Return the embeddings ``(B, S, E)``."""
        x = self.embedding(input_ids)
        if self.multiplier != 1:
            x = x * self.multiplier
        if self.position_embedding is not None:
            x = self.add(x, self.position_embedding(position_ids))
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return self.dropout(x)

    def finish(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: Cache | None, last: int | None
    ) -> Tensor:
        """Return what the head takes of the last layer's output; for subclasses that have more there than a norm."""
        return x if self.last_norm is None else self.last_norm(x)

    def biases(self, bias: Tensor, position_ids: Tensor, cached: bool) -> tuple[Tensor, ...]:
        """Return the bias of each kind of layer: within its window, and growing with the distance."""
        slots = position_ids if cached else ops.arange(bias.shape[-1]).reshape((1, -1))
        found: tuple[Tensor, ...] = ()
        for i in range(len(self.alibi)):
            each = self.windows[i](bias, ops.cast(slots, mstype.int32))
            if self.alibi[i]:
                shape = (each.shape[0], self.slopes.shape[1], each.shape[2], each.shape[3])
                # Linear in the key's slot: the query's own adds the same to all scores of a row.
                slope = ops.cast(ops.arange(shape[3]), mstype.float32) * self.slopes
                each = ops.broadcast_to(each, shape) + ops.broadcast_to(slope, shape)
            found = found + (each,)
        return found

    def rotary_ids(self, position_ids: Tensor, is_long: Tensor | None = None) -> Tensor:
        """Return the rows of the rotary tables: those for long texts follow those for short ones."""
        if self.long_from == 0:
            return position_ids
        if is_long is None:
            is_long = ops.cast(position_ids.max(axis=1, keepdims=True) >= self.long_from, position_ids.dtype)
        return position_ids + ops.broadcast_to(is_long * self.length, position_ids.shape)


class DecoderHead(PretrainedModel):
    """A model whose body is a decoder.

    Attributes:
        role_names: Role -> name in checkpoints; the keys are those of :data:`mf_core.models.layer_spec.NAMES`.
    """

    role_names: Mapping[str, str]

    @python_property
    def decoder(self) -> Any:
        """The body."""
        return self._cells[self.role_names["decoder"]]

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The layers."""
        layers: Sequence[nn.Cell] = self.decoder.layers
        return layers

    @property
    def lora_targets(self) -> tuple[str, ...]:  # type: ignore[override]  # a class attribute where it is fixed
        """Names of the linear layers that get LoRA adapters unless said otherwise: those of queries and values."""
        return tuple(self.role_names[role] for role in self.blocks[0].attention.adapted)


class DecoderForCausalLM(DecoderHead):
    """A decoder that predicts the next token.

    A family sets ``config_class`` and, where it is not a Llama, says how its layers (:meth:`layer_spec`) and the model
    around them (:meth:`spec`) differ.

    Class attributes:
        names: Role -> name in checkpoints, where they differ from Llama's; roles are the keys of
            :data:`mf_core.models.layer_spec.NAMES`.
        decoder_class: The body.
        arrays_reader: Describes the model to the kernel that runs whole passes.
    """

    names: ClassVar[Mapping[str, str]] = {}
    decoder_class: ClassVar[type[Decoder]] = Decoder
    arrays_reader: ClassVar[type[ArraysReader]] = ArraysReader
    ignored_keys: ClassVar[tuple[str, ...]] = (r"\.rotary_emb\.inv_freq$", r"^lm_head\.weight$")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "checkpoint_prefix" not in cls.__dict__:
            cls.checkpoint_prefix = f"{cls.names.get('decoder', NAMES['decoder'])}."

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        spec = self.spec(config)
        names = {**NAMES, **self.names}
        self.role_names = names
        setattr(self, names["decoder"], self.decoder_class(spec, names, self.compute_dtype))
        if not spec.tied:
            setattr(self, names["lm_head"], Embedding(
                spec.vocabulary, spec.width, std=spec.std, param_dtype=spec.param_dtype, dtype=self.compute_dtype,
                role="vocabulary",
            ))  # fmt: skip
        self.tied = spec.tied
        self.logit_multiplier, self.logit_soft_cap = spec.logit_multiplier, spec.logit_soft_cap
        self.auxiliary_loss, self.has_auxiliary_loss = spec.auxiliary_loss, self.decoder.has_experts
        self.causal_bias = CausalBias()
        self.layer_cache = spec.layers[0].attention.cache_shape
        self.post_init()

    @classmethod
    def layer_spec(cls, config: Any, layer: int) -> LayerSpec:
        """Return the declaration of a layer.

        Args:
            config: The model's configuration.
            layer: Its number, from 0.
        """
        spec: LayerSpec = config.layer_spec(layer)
        return spec

    @classmethod
    def spec(cls, config: Any) -> DecoderSpec:
        """Return the declaration of the model."""
        layers = tuple(cls.layer_spec(config, layer) for layer in range(config.num_layers))
        spec: DecoderSpec = config.decoder_spec(layers)
        return spec

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Return logits.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding, or ``(B, S, S)``, 1 where a token (second axis)
                may attend to another (third axis) that is not after it; None: no padding.
            position_ids: ``(B or 1, S)`` int32; None: counted from 0, without the padding of a mask of two axes; to be
                given with a mask of three.

        Returns:
            ``(B, S, V)`` fp32.
        """
        ids, bias = token_positions(input_ids, attention_mask, position_ids), self.causal_bias(
            attention_mask, input_ids.shape[1]
        )
        return self.head(self.decoder(input_ids, ids, bias))

    def body(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """See the base class; the loss is the sum of the layers', times the declared factor."""
        ids = token_positions(input_ids, attention_mask, position_ids)
        bias = self.causal_bias(attention_mask, input_ids.shape[1])
        if not self.has_auxiliary_loss or not self.training:
            return self.decoder(input_ids, ids, bias, hidden=hidden)
        x, loss = self.decoder(input_ids, ids, bias, counted=count_tokens(input_ids, attention_mask), hidden=hidden)
        return x, loss * self.auxiliary_loss

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """See the base class."""
        if self.logit_multiplier != 1:
            hidden = hidden * self.logit_multiplier
        logits = self.output_embedding.attend(hidden, whole=whole)
        if self.logit_soft_cap is not None:
            logits = ops.tanh(logits * (1.0 / self.logit_soft_cap)) * self.logit_soft_cap
        return logits

    @python_property
    def output_embedding(self) -> Any:
        """The embedding that makes logits: the head's own, or that of the tokens."""
        return self.decoder.embedding if self.tied else self._cells[self.role_names["lm_head"]]

    def decode(
        self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, cache: Cache, logits_to_keep: int | None = None,
        is_long: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the last token's logits ``(B, V)`` fp32, or the last n tokens' ``(B, n, V)``; write to the cache."""
        last = 1 if logits_to_keep is None else logits_to_keep
        hidden = self.decoder(input_ids, position_ids, bias, cache, last=last, is_long=is_long)
        return self.head(hidden[:, -1] if logits_to_keep is None else hidden[:, -logits_to_keep:])

    def decoder_arrays(self) -> DecoderArrays | None:
        """See the base class."""
        return self.arrays_reader.read(self)

    def set_stage(self, layers: range, *, is_last: bool) -> None:
        """See the base class."""
        self.decoder.own, self.decoder.is_last = tuple(layers), is_last

    @property
    def long_from(self) -> int:
        """See the base class."""
        return int(self.decoder.long_from)

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the cache."""
        return len(self.blocks), self.layer_cache[0], self.layer_cache[1]

    @classmethod
    def cache_nbytes(cls, config: Any, rows: int, tokens: int) -> int:
        """See the base class. Windowed layers take a window's where the backend's kernel runs whole passes."""
        layers = [layer.attention for layer in cls.spec(config).layers]
        return cache_nbytes(layers, rows, tokens, windowed=kernel("decoder_pass") is not None)

    @property
    def cache_value_width(self) -> int:
        """See the base class."""
        return self.layer_cache[2]

    @property
    def parallel_plan(self) -> ParallelPlan:  # type: ignore[override]  # a class attribute where it is written down
        """How the model may be split over devices, by the roles of its layers."""
        cells, parts = dict(self.cells_and_names()), self.stage_parts()
        paths = {id(cell): path for path, cell in cells.items()}
        first, last = ([paths[id(cell)] for cell in each if cell is not None] for each in parts)
        return plan_from_roles(cells, [paths[id(block)] for block in self.blocks], first, last)

    def stage_parts(self) -> tuple[list[nn.Cell | None], list[nn.Cell | None]]:
        """Return the cells beside its layers that the first stage of a pipeline needs, and those of the last."""
        body = self.decoder
        return (
            [body.embedding, body.position_embedding, body.embedding_norm],
            [body.last_norm, self.output_embedding],
        )


def token_positions(input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None) -> Tensor:
    """Return each token's position ``(B, S)`` int32, as given or else counted from 0 without padding."""
    if position_ids is None:
        if attention_mask is None or attention_mask.ndim == 3:
            position_ids = ops.arange(input_ids.shape[1]).reshape((1, -1))
        else:
            position_ids = positions(attention_mask)
    return ops.broadcast_to(ops.cast(position_ids, mstype.int32), input_ids.shape)
