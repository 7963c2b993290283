"""Encoders built from a declaration: the body, and the model without a head.

Shapes: B batch, S tokens, E hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from ..nn import Dropout, Embedding, Linear, Operators, PaddingBias, positions
from .base import PretrainedModel
from .decoder_layer import DecoderLayer
from .feed_forward import FeedForwardParts, make_activation
from .layer_spec import ENCODER_NAMES, EncoderSpec, LayerSpec
from .parts import NamedParts, Part, make_norm


class EncoderLayer(FeedForwardParts, DecoderLayer):
    """A layer whose feed-forward part is a child, or whose linear layers are, where the part has no name.

    Args:
        spec: The declaration.
        length: Longest sequence.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
    """

    def add_feed_forward_part(self, spec: LayerSpec, dtype: str) -> None:
        """See the base class."""
        self.is_flat = self.names["feed_forward"] == ""
        if self.is_flat:
            self.add_feed_forward(spec, dtype)
        else:
            super().add_feed_forward_part(spec, dtype)

    def feed(self, normed: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See the base class."""
        if self.is_flat:
            return self.apply_feed_forward(normed), None
        return self.feed_forward(normed), None


class Encoder(NamedParts):
    """The body: embeddings, and layers in which tokens attend to each other in both directions.

    Encoders of other inputs than token ids, such as patches of an image, replace :meth:`embed`.

    Args:
        spec: The declaration.
        names: See :class:`NamedParts`.
        dtype: Type of the products.
    """

    layer_class: ClassVar[type[DecoderLayer]] = EncoderLayer

    embedding, position_embedding, token_type_embedding = Part(), Part(), Part()
    embedding_norm, layers, last_norm = Part(), Part(), Part()

    operators: ClassVar[Operators] = {"add": ("rows positions -", "rows positions -")}

    def __init__(self, spec: EncoderSpec, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(names)
        self.add_embeddings(spec, dtype)
        if spec.embedding_norm is not None:
            self.add_part("embedding_norm", make_norm(spec.embedding_norm, spec.width, spec.param_dtype))
        layers = [self.layer_class(layer, spec.length, self.names, dtype) for layer in spec.layers]
        self.add_part("layers", nn.CellList(layers))
        if spec.last_norm is not None:
            self.add_part("last_norm", make_norm(spec.last_norm, spec.width, spec.param_dtype))
        self.add, self.dropout, self.bias = ops.Add(), Dropout(spec.embedding_dropout), PaddingBias()
        self.position_offset = spec.position_offset

    def add_embeddings(self, spec: EncoderSpec, dtype: str) -> None:
        """Add the tables of tokens, positions and segments."""
        tables = {"embedding": spec.vocabulary, "position_embedding": spec.length}
        if spec.token_types:
            tables["token_type_embedding"] = spec.token_types
        for role, rows in tables.items():
            self.add_part(role, Embedding(rows, spec.width, std=spec.std, param_dtype=spec.param_dtype, dtype=dtype))

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the hidden states ``(B, S, E)``; see :meth:`EncoderModel.construct` for the arguments."""
        position_ids = self.token_positions(input_ids, attention_mask, position_ids)
        return self.run_layers(self.embed(input_ids, token_type_ids, position_ids), attention_mask, position_ids)

    def token_positions(
        self, input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        """Return each token's position ``(B, S)`` int32, as given or else counted from 0."""
        if position_ids is None:
            if attention_mask is None or self.position_offset == 0:
                position_ids = ops.arange(input_ids.shape[1]).reshape((1, -1))
            else:
                position_ids = positions(attention_mask)
        return ops.broadcast_to(ops.cast(position_ids, mstype.int32), input_ids.shape)

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor) -> Tensor:
        """Return the embeddings ``(B, S, E)``."""
        x = self.embedding(input_ids)
        if self.token_type_embedding is not None:
            types = ops.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            x = self.add(x, self.token_type_embedding(types))
        x = self.add(x, self.position_embedding(position_ids + self.position_offset))
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return self.dropout(x)

    def run_layers(self, x: Tensor, attention_mask: Tensor | None, position_ids: Tensor) -> Tensor:
        """Return the layers' output for the embeddings ``(B, S, E)``."""
        bias = self.bias(attention_mask, x.shape[1])
        for layer in self.layers:
            x = layer(x, position_ids, bias)
        return x if self.last_norm is None else self.last_norm(x)


class EncoderBase(PretrainedModel, NamedParts):
    """What models with an encoder for a body share.

    A family sets ``config_class`` and, where it is not BERT, ``names``.

    Class attributes:
        names: Role -> name in checkpoints, where they differ from BERT's; roles are the keys of
            :data:`mf_core.models.layer_spec.ENCODER_NAMES`.
        encoder_class: The body.
        other_heads: Regular expressions of the weights of the family's heads, which a model with another leaves out.
    """

    names: Mapping[str, str] = ENCODER_NAMES
    encoder_class: ClassVar[type[Encoder]] = Encoder
    other_heads: ClassVar[tuple[str, ...]] = (r"^cls\.", r"^classifier\.", r"^qa_outputs\.", r"(^|\.)pooler\.")
    renamed_keys: ClassVar[Mapping[str, str]] = {
        r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias",
    }  # fmt: skip

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.ignored_keys = (r"embeddings\.(position|token_type)_ids$", *cls.other_heads)
        cls.checkpoint_prefix = f"{cls.names.get('encoder', ENCODER_NAMES['encoder'])}."
        cls.head_key = f"{cls.names.get('output_embedding', ENCODER_NAMES['output_embedding'])}.weight"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.names = {**ENCODER_NAMES, **type(self).names}
        self.add_part("encoder", self.encoder_class(config.encoder_spec(), self.names, self.compute_dtype))
        self.head_names: tuple[str, ...] = ()
        self.add_head(config)
        for name, parameter in self.parameters_and_names():
            parameter.name = name  # the groups that parts are in are not in it yet
        self.post_init()

    encoder = Part()

    def add_head(self, config: Any) -> None:
        """Add what follows the body, by :meth:`add_head_part`."""

    def add_head_part(self, role: str, part: nn.Cell | Parameter) -> None:
        """Add a part that a checkpoint may lack."""
        self.add_part(role, part)
        name = self.names[role]
        if not isinstance(part, nn.Cell):
            name = name.rpartition(".")[0]  # the cell that has the parameter
        inside = tuple(each for each in self.head_names if each.startswith(f"{name}."))
        self.head_names = (*(each for each in self.head_names if each not in inside), name)

    def make_linear(self, outputs: int) -> Linear:
        """Return a linear layer over hidden states, as heads have it."""
        return Linear(
            self.config.hidden_size, outputs, std=self.config.initializer_range, dtype=self.compute_dtype,
            outputs_first=True,
        )  # fmt: skip

    @property
    def new_cells(self) -> tuple[str, ...]:  # type: ignore[override]  # a class attribute where it is fixed
        """Names of the cells of the head, which a checkpoint may lack."""
        return self.head_names

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The layers."""
        layers: Sequence[nn.Cell] = self.encoder.layers
        return layers

    @property
    def max_positions(self) -> int:
        """The longest sequence in tokens."""
        return int(self.config.seq_length - self.config.first_position)

    @property
    def lora_targets(self) -> tuple[str, ...]:  # type: ignore[override]  # a class attribute where it is fixed
        """Names of the linear layers that get LoRA adapters unless said otherwise: those of queries and values."""
        return tuple(self.names[role].rpartition(".")[2] for role in ("query", "value"))


class EncoderModel(EncoderBase):
    """The body, and a pooler where the family has one."""

    is_body: ClassVar[bool] = True
    #: Whether the family's body has a pooler: a linear layer and tanh over the first token.
    has_pooler: ClassVar[bool] = True

    pooler = Part()

    def add_head(self, config: Any) -> None:
        """See the base class."""
        if self.has_pooler:
            self.add_head_part("pooler", self.make_linear(config.hidden_size))
            self.act = make_activation("tanh")  # ops.tanh is wrong by 6e-5 on CPU

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Return the hidden states ``(B, S, E)`` and, with a pooler, the pooled first token ``(B, E)``, in fp32.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding; None: no padding.
            token_type_ids: ``(B, S)`` int32, the segment of each token; None: 0. Families without segments do not read
                it.
            position_ids: ``(B or 1, S)`` int32; None: counted from 0.
        """
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        whole = ops.cast(hidden, mstype.float32)
        if self.pooler is None:
            return whole
        return whole, ops.cast(self.act(self.pooler(hidden[:, 0])), mstype.float32)
