"""Encoder-decoder models with a language-model head, built from a declaration.

A family says what it is made of, and gets from here the forward pass, and decoding with a cache of the target's tokens
beside the source's keys and values::

    class T5ForConditionalGeneration(EncoderDecoderForSeq2SeqLM):
        config_class = T5Config  # with a method encoder_decoder_spec

Shapes: B batch, M tokens of the source, S tokens of the target, E hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..errors import ArgumentError
from ..nn import CausalBias, Dropout, Embedding, LayerCache, PaddingBias
from ..nn.attention import MASKED
from .base import PretrainedModel
from .cross_attention import Memory
from .decoder_layer import DecoderLayer
from .parts import NamedParts, Part, make_norm, python_property
from .relative_bias import RelativeBias
from .seq2seq_spec import SEQ2SEQ_NAMES, EncoderDecoderSpec, StackSpec


class Stack(NamedParts):
    """The layers of an encoder or a decoder, with biases by distance and a last norm.

    Args:
        spec: The declaration.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
    """

    layer_class: ClassVar[type[DecoderLayer]] = DecoderLayer

    layers, last_norm, relative_bias = Part(), Part(), Part()

    def __init__(self, spec: StackSpec, length: int, names: Mapping[str, str], dtype: str) -> None:
        super().__init__({**names, **spec.names})
        first = spec.layers[0]
        layers = [self.layer_class(layer, length, self.names, dtype) for layer in spec.layers]
        self.add_part("layers", nn.CellList(layers))
        if spec.last_norm is not None:
            self.add_part("last_norm", make_norm(spec.last_norm, first.width, first.param_dtype))
        if spec.relative is not None:
            self.add_part("relative_bias", RelativeBias(
                spec.relative, first.attention.heads, std=first.std, param_dtype=first.param_dtype
            ))  # fmt: skip
        self.first_dropout, self.last_dropout = Dropout(spec.dropout), Dropout(spec.dropout)

    def construct(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, memory: tuple[Memory, ...] | None = None,
        cache: tuple[LayerCache, ...] | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the hidden states ``(B, S, E)``.

        Args:
            x: The embeddings ``(B, S, E)``.
            position_ids: ``(B or 1, S)`` int32.
            bias: ``(B or 1, 1, S, T)``: 0 where a token may attend.
            memory: Of a decoder: what each layer attends to beside its own tokens.
            cache: One entry for each layer; None: the tokens attend to each other.
        """
        x = self.first_dropout(x)
        if self.relative_bias is not None:
            bias = self.relative_bias(bias, position_ids)
        for i in range(len(self.layers)):
            entry = None if cache is None else cache[i]
            x = self.layers[i](x, position_ids, bias, entry, None, None, None if memory is None else memory[i])
        if self.last_norm is not None:
            x = self.last_norm(x)
        return self.last_dropout(x)


class EncoderDecoderForSeq2SeqLM(PretrainedModel, NamedParts):
    """An encoder that reads a source, and a decoder that predicts the next token of a target.

    A family sets ``config_class`` and, where checkpoints have other names than T5's, ``names``.

    Class attributes:
        names: Role -> name in checkpoints; the keys are those of :data:`mf_core.models.seq2seq_spec.SEQ2SEQ_NAMES`.
        stack_class: The layers of either side.
    """

    names: Mapping[str, str] = SEQ2SEQ_NAMES
    stack_class: ClassVar[type[Stack]] = Stack
    is_encoder_decoder: ClassVar[bool] = True
    ignored_keys: ClassVar[tuple[str, ...]] = (r"^(encoder|decoder)\.embed_tokens\.weight$", r"^lm_head\.weight$")
    embedding_key: ClassVar[str] = r"^shared\.weight$"

    embedding, encoder, decoder, lm_head = Part(), Part(), Part(), Part()

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.names = {**SEQ2SEQ_NAMES, **type(self).names}
        spec: EncoderDecoderSpec = config.encoder_decoder_spec()
        common: dict[str, Any] = {"param_dtype": spec.param_dtype, "dtype": self.compute_dtype}
        self.add_part("embedding", Embedding(spec.vocabulary, spec.width, std=spec.std, **common))
        self.add_part("encoder", self.stack_class(spec.encoder, spec.length, self.names, self.compute_dtype))
        self.add_part("decoder", self.stack_class(spec.decoder, spec.length, self.names, self.compute_dtype))
        if not spec.tied:
            self.add_part("lm_head", Embedding(spec.vocabulary, spec.width, std=spec.head_std, **common))
        self.tied, self.logit_multiplier = spec.tied, spec.logit_multiplier
        self.causal_bias, self.padding_bias = CausalBias(), PaddingBias()
        attention = spec.decoder.layers[0].attention
        self.self_shape = attention.cache_shape
        cross = spec.decoder.layers[0].cross_attention
        assert cross is not None
        self.cross_shape = cross.key_value_heads, cross.head_dim
        for name, parameter in self.parameters_and_names():
            parameter.name = name  # the groups that parts are in are not in it yet
        self.post_init()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`construct`.

        Raises:
            ArgumentError: There are no ``decoder_input_ids``.
        """
        if (args[2] if len(args) > 2 else kwargs.get("decoder_input_ids")) is None:
            raise ArgumentError(
                f"{type(self).__name__} is called without decoder_input_ids",
                why="its output is the logits of their next tokens",
                hint="give the start token and the target's tokens, or call generate(input_ids)",
            )  # fmt: skip
        return super().__call__(*args, **kwargs)

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the logits ``(B, S, V)`` fp32 of the target's next tokens.

        Args:
            input_ids: ``(B, M)`` int32, the source.
            attention_mask: ``(B, M)``, 1 for tokens and 0 for padding; None: no padding.
            decoder_input_ids: ``(B, S)`` int32: the start token, then the target's tokens.
            decoder_attention_mask: ``(B, S)``; None: no padding. Padding after the tokens needs none.
        """
        memory = self.memory(self.encode(input_ids, attention_mask), attention_mask)
        length = decoder_input_ids.shape[1]  # type: ignore[union-attr]  # __call__ has checked it
        ids = ops.cast(ops.arange(length), mstype.int32).reshape((1, -1))
        bias = self.causal_bias(decoder_attention_mask, length)
        return self.head(self.decoder(self.embedding(decoder_input_ids), ids, bias, memory))

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the encoder's output ``(B, M, E)``; see :meth:`construct` for the arguments."""
        length = input_ids.shape[1]
        ids = ops.cast(ops.arange(length), mstype.int32).reshape((1, -1))
        return self.encoder(self.embedding(input_ids), ids, self.padding_bias(attention_mask, length))

    def memory(self, hidden: Tensor, attention_mask: Tensor | None = None) -> tuple[Memory, ...]:
        """Return what each layer of the decoder attends to, made of the encoder's output ``(B, M, E)``."""
        if attention_mask is None:
            bias = ops.zeros((1, 1, 1, hidden.shape[1]), mstype.float32)
        else:
            hidden_tokens = 1.0 - ops.cast(attention_mask != 0, mstype.float32)
            bias = hidden_tokens.reshape((hidden.shape[0], 1, 1, -1)) * MASKED
        found: tuple[Memory, ...] = ()
        for layer in self.decoder.layers:
            key, value = layer.cross_attention.keys_and_values(hidden)
            found = found + ((key, value, bias),)
        return found

    def decode(
        self, input_ids: Tensor, position_ids: Tensor, bias: Tensor, cache: tuple[LayerCache, ...],
        logits_to_keep: int | None = None, memory: tuple[Memory, ...] | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the last token's logits ``(B, V)`` fp32, or the last n tokens' ``(B, n, V)``; write to the cache.

        Args:
            input_ids, position_ids: ``(B, S)`` int32, of the target.
            bias: ``(B, 1, S, C)``.
            cache: The decoder's tokens, one entry for each layer.
            logits_to_keep: n.
            memory: Of the sources; see :meth:`memory`.
        """
        hidden = self.decoder(self.embedding(input_ids), position_ids, bias, memory, cache)
        return self.head(hidden[:, -1] if logits_to_keep is None else hidden[:, -logits_to_keep:])

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """See the base class."""
        if self.logit_multiplier != 1:
            hidden = hidden * self.logit_multiplier
        return self.output_embedding.attend(hidden, whole=whole)

    @python_property
    def output_embedding(self) -> Any:
        """The embedding that makes logits: the head's own, or that of the tokens."""
        return self.embedding if self.tied else self.lm_head

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The layers of both sides."""
        return [*self.encoder.layers, *self.decoder.layers]

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the cache of the decoder's tokens."""
        return len(self.decoder.layers), self.self_shape[0], self.self_shape[1]

    @property
    def memory_shape(self) -> tuple[int, int, int]:
        """Layers, key-value heads and head width of the keys and values that are made of a source."""
        return len(self.decoder.layers), *self.cross_shape

    @property
    def lora_targets(self) -> tuple[str, ...]:  # type: ignore[override]  # a class attribute where it is fixed
        """Names of the linear layers that get LoRA adapters unless said otherwise: those of queries and values."""
        return self.names["query"], self.names["value"]
