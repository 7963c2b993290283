"""The configuration that decoders share: Hugging Face's keys of ``config.json``, MindFormers' names of the fields.

Importing this module does not import mindspore.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from ..config import ACTIVATION_NAMES, DType, TokenId, TokenIds
from .labels import LabelledConfig
from .layer_spec import AttentionSpec, DecoderSpec, ExpertsSpec, FeedForwardSpec, LayerSpec, NormSpec, RotarySpec
from .rope import rotary_spec

Positive = Annotated[int, Field(gt=0)]
Activation = Literal[ACTIVATION_NAMES]  # type: ignore[valid-type]  # the names themselves
PositiveFloat = Annotated[float, Field(gt=0)]
LayerType = Literal["full_attention", "sliding_attention"]

D = TypeVar("D", bound="DecoderConfig")


class DecoderConfig(LabelledConfig):
    """Configuration of a decoder: by default, of Llama's kind. A family's class names itself and changes defaults.

    Fields may also be given by the names that ``config.json`` has for them (``num_hidden_layers``,
    ``num_attention_heads``, ``max_position_embeddings``). Labels of a classifier are those of
    :class:`LabelledConfig`.

    Attributes:
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth, attention heads.
        num_key_value_heads: Heads of keys and values, each shared by several of queries; None: as many.
        head_dim: Width of a head; None: ``hidden_size / num_heads``.
        intermediate_size: Width of the feed-forward layer.
        seq_length: Longest sequence in tokens.
        rope_theta: Base of the rotary wavelengths.
        rope_scaling: How they are scaled for longer texts: a mapping with ``rope_type``; None: not.
        rope_parameters: Both of them by layer type, where these differ; of one for all layers, as transformers 5 writes
            it, the two fields above are set.
        partial_rotary_factor: Part of each head that is rotated.
        rms_norm_eps: Added to mean squares.
        hidden_act: Activation of the feed-forward layer.
        attention_bias, mlp_bias: Whether the linear layers have biases.
        sliding_window: Keys that a query attends to in windowed layers; None: there are none.
        layer_types: ``"full_attention"`` or ``"sliding_attention"`` for each layer; None: all are windowed where
            ``sliding_window`` is set.
        tie_word_embeddings: Whether the head shares the embedding's weight.
        initializer_range: Standard deviation of initial weights.
        bos_token_id, eos_token_id, pad_token_id: Special tokens; any of several EOS ends a text.
        compute_dtype: Type to compute in.
    """

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
        "tie_word_embeddings": "tie_word_embeddings",
        "initializer_range": "initializer_range",
        "bos_token_id": "bos_token_id",
        "eos_token_id": "eos_token_id",
        "pad_token_id": "pad_token_id",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "n_layer": "num_layers",
        "n_head": "num_heads",
        "n_kv_heads": "num_key_value_heads",
        "ffn_hidden_size": "intermediate_size",
        "n_positions": "seq_length",
        "theta": "rope_theta",
    }

    vocab_size: Positive = 32000
    hidden_size: Positive = 2048
    num_layers: Positive = 22
    num_heads: Positive = 32
    num_key_value_heads: Positive | None = None
    head_dim: Positive | None = None
    intermediate_size: Positive = 5632
    seq_length: Positive = 2048
    rope_theta: PositiveFloat = 10000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, dict[str, Any]] | None = None
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    rms_norm_eps: PositiveFloat = 1e-5
    hidden_act: Activation = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: Positive | None = None
    layer_types: list[LayerType] | None = None
    tie_word_embeddings: bool = False
    initializer_range: PositiveFloat = 0.02
    bos_token_id: TokenId = None
    eos_token_id: TokenIds = None
    pad_token_id: TokenId = None
    compute_dtype: DType = "float16"

    @model_validator(mode="after")
    def _check_heads(self: D) -> D:  # not the name of the base's, which would be replaced
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        if self.num_heads % self.key_value_heads:
            raise ValueError(
                f"num_heads={self.num_heads} is not a multiple of num_key_value_heads={self.num_key_value_heads}"
            )
        if self.rotary_width % 2:
            raise ValueError(f"{self.rotary_width} elements of a head are rotated: they are rotated in pairs")
        if self.layer_types is not None and len(self.layer_types) != self.num_layers:
            raise ValueError(f"layer_types has {len(self.layer_types)} entries for num_layers={self.num_layers}")
        for layer in range(self.num_layers if self.rope_parameters else 1):
            self.rotary_spec(layer)  # raises where rotary positions are of a kind that is not supported
        return self

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_heads

    @property
    def rotary_width(self) -> int:
        """Elements of a head that are rotated."""
        return int(self.head_width * self.partial_rotary_factor)

    def layer_type(self, layer: int) -> str:
        """Return ``"full_attention"`` or ``"sliding_attention"``, for a layer counted from 0."""
        if self.layer_types is not None:
            return self.layer_types[layer]
        return "full_attention" if self.sliding_window is None else "sliding_attention"

    def norm_spec(self) -> NormSpec:
        """Return the declaration of a norm."""
        return NormSpec("rms", self.rms_norm_eps)

    def rope_settings(self, layer: int) -> dict[str, Any]:
        """Return the settings of a layer's rotary positions, by the names that ``config.json`` has for them."""
        settings = {"rope_theta": self.rope_theta, **(self.rope_scaling or {})}
        return {**settings, **(self.rope_parameters or {}).get(self.layer_type(layer), {})}

    def rotary_spec(self, layer: int) -> RotarySpec:
        """Return the declaration of a layer's rotary positions."""
        return rotary_spec(self.rope_settings(layer), self.rotary_width, self.seq_length)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """Return the declaration of a layer's attention."""
        return AttentionSpec(
            heads=self.num_heads, key_value_heads=self.key_value_heads, head_dim=self.head_width,
            bias=self.attention_bias, output_bias=self.attention_bias, rotary=self.rotary_spec(layer),
            window=self.sliding_window if self.layer_type(layer) == "sliding_attention" else None,
        )  # fmt: skip

    def experts_spec(self, layer: int) -> ExpertsSpec | None:
        """Return the declaration of a layer's experts; None: it has one feed-forward layer."""
        return None

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """Return the declaration of a layer's feed-forward part."""
        return FeedForwardSpec(
            self.intermediate_size, self.activation_name or "silu", bias=self.mlp_bias, experts=self.experts_spec(layer)
        )

    def layer_spec(self, layer: int) -> LayerSpec:
        """Return the declaration of a layer, counted from 0."""
        return LayerSpec(
            self.hidden_size, self.attention_spec(layer), self.feed_forward_spec(layer), self.norm_spec(),
            std=self.initializer_range,
        )  # fmt: skip

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """Return the declaration of a model with these layers."""
        return DecoderSpec(
            self.vocab_size, self.hidden_size, self.seq_length, layers, self.norm_spec(), self.tie_word_embeddings,
            std=self.initializer_range,
        )  # fmt: skip

    def to_file_dict(self) -> dict[str, Any]:
        """See the base class; an implicit head width is left out, as the families' readers expect."""
        data = super().to_file_dict()
        if self.head_dim is None and "head_dim" not in self.model_fields_set:
            data.pop("head_dim", None)
        return data

    @classmethod
    def from_dict(cls: type[D], data: Mapping[str, Any], **overrides: Any) -> D:
        """See the base class; rotary settings are read as any version of transformers writes them."""
        known = dict(data)
        scaling, parameters = known.get("rope_scaling"), known.get("rope_parameters")
        if isinstance(scaling, Mapping) and scaling and all(isinstance(each, Mapping) for each in scaling.values()):
            scaling, parameters = None, scaling  # nested by layer type, under the older key
        if isinstance(parameters, Mapping) and not any(isinstance(each, Mapping) for each in parameters.values()):
            scaling, parameters = {**(scaling or {}), **parameters}, None  # one for all layers
        if isinstance(scaling, Mapping):
            scaling = dict(scaling)
            for key in ("rope_theta", "partial_rotary_factor"):
                value = scaling.pop(key, None)
                if value is not None:
                    known[key] = value
            if scaling.get("rope_type", scaling.get("type", "default")) == "default":
                scaling = None
        for key, value in (("rope_scaling", scaling), ("rope_parameters", parameters)):
            known.pop(key, None)
            if value is not None:
                known[key] = value
        return super().from_dict(known, **overrides)
