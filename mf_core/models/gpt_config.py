"""The configuration that GPT's decoders share (learned positions, layer norms, biases), with MindFormers' field names.

Importing this module does not import mindspore.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, field_validator, model_validator

from ..config import ACTIVATION_NAMES, DType, TokenId, TokenIds
from ..errors import ConfigError
from .labels import LabelledConfig
from .layer_spec import AttentionSpec, DecoderSpec, FeedForwardSpec, LayerSpec, NormSpec

Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
G = TypeVar("G", bound="GPTConfig")

#: MindFormers' name of an activation -> the name in ``mf_core.nn.ACTIVATIONS``, where they differ.
_MINDFORMERS = {"gelu": "gelu_new", "gelu_exact": "gelu", "fast_gelu": "quick_gelu"}
_FROM_FILE = {name: ours for ours, name in _MINDFORMERS.items()}


class GPTConfig(LabelledConfig):
    """Configuration of a decoder like GPT's, with MindFormers' names. A family's class changes defaults and names.

    Labels of a classifier are those of :class:`LabelledConfig`.

    Attributes:
        batch_size: Rows of a training batch, for scripts that read it here.
        seq_length: Longest sequence in tokens.
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth, attention heads.
        hidden_act: The activation by MindFormers' names: ``"gelu"`` (the tanh form), ``"gelu_exact"``, ``"fast_gelu"``
            (``x * sigmoid(1.702 * x)``); any other by that of ``mf_core.nn.ACTIVATIONS``. As ``activation_function`` it
            has the names of ``transformers``: ``"gelu_new"`` is the tanh form, ``"gelu"`` the exact one.
        bos_token_id, eos_token_id, pad_token_id: Special tokens.
        embedding_dropout_prob, hidden_dropout_rate, attention_dropout_rate: Dropouts, in training.
        layernorm_epsilon: Added to variances.
        initializer_range: Standard deviation of initial weights.
        post_layernorm_residual: Add the residual after the layer norm rather than before it.
        param_init_type, compute_dtype, softmax_compute_type, layernorm_compute_type: Types. A backend may compute in
            another than the default ``compute_dtype``, with a notice; one that is set is used, or raises an error.
        do_sample, top_k, top_p, temperature, repetition_penalty, max_decode_length: Defaults of generation.
        use_past: Accepted for MindFormers' configurations; generation always uses the cache.
        checkpoint_name_or_path: Checkpoint that the model's constructor loads; empty: none.
        parallel_config: Accepted for MindFormers' configurations.
    """

    batch_size: Positive = 1
    seq_length: Positive = 1024
    vocab_size: Positive = 50257
    hidden_size: Positive = 768
    num_layers: Positive = 12
    num_heads: Positive = 12
    hidden_act: str = "gelu"
    bos_token_id: TokenId = None
    eos_token_id: TokenIds = None
    pad_token_id: TokenId = None
    embedding_dropout_prob: Probability = 0.1
    hidden_dropout_rate: Probability = 0.1
    attention_dropout_rate: Probability = 0.1
    layernorm_epsilon: PositiveFloat = 1e-5
    initializer_range: PositiveFloat = 0.02
    post_layernorm_residual: bool = False
    tie_word_embeddings: bool = True
    param_init_type: DType = "float32"
    compute_dtype: DType = "float16"
    softmax_compute_type: DType = "float32"
    layernorm_compute_type: DType = "float32"
    do_sample: bool = True
    top_k: Annotated[int, Field(ge=0)] = 5
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    temperature: PositiveFloat = 1.0
    repetition_penalty: PositiveFloat = 1.0
    max_decode_length: Positive = 1024
    use_past: bool = False
    checkpoint_name_or_path: str = ""
    parallel_config: dict[str, Any] | None = None

    @field_validator("hidden_act")
    @classmethod
    def _check_activation(cls, value: str) -> str:
        known = [*_MINDFORMERS, *(name for name in ACTIVATION_NAMES if name not in _FROM_FILE)]
        if value not in known:
            raise ValueError(f"the activations are: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _check_heads(self: G) -> G:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        return self

    @property
    def ffn_size(self) -> int:
        """Width of the feed-forward layer."""
        return 4 * self.hidden_size

    @property
    def activation_name(self) -> str:
        """See the base class."""
        return _MINDFORMERS.get(self.hidden_act, self.hidden_act)

    def norm_spec(self) -> NormSpec:
        """Return the declaration of a norm."""
        return NormSpec("layer", self.layernorm_epsilon, dtype=self.layernorm_compute_type)

    def attention_spec(self, layer: int) -> AttentionSpec:
        """Return the declaration of a layer's attention."""
        return AttentionSpec(
            self.num_heads, self.num_heads, self.hidden_size // self.num_heads, bias=True, output_bias=True,
            dropout=self.attention_dropout_rate, softmax_dtype=self.softmax_compute_type,
        )  # fmt: skip

    def feed_forward_spec(self, layer: int) -> FeedForwardSpec:
        """Return the declaration of a layer's feed-forward part."""
        return FeedForwardSpec(self.ffn_size, self.activation_name, gated=False, bias=True)

    def layer_spec(self, layer: int) -> LayerSpec:
        """Return the declaration of a layer, counted from 0."""
        return LayerSpec(
            self.hidden_size, self.attention_spec(layer), self.feed_forward_spec(layer), self.norm_spec(),
            normed_residual=self.post_layernorm_residual, dropout=self.hidden_dropout_rate, outputs_first=False,
            # The residual stream adds up 2 * num_layers outputs, so these begin smaller (GPT-2's paper, section 2.3).
            std=self.initializer_range, output_std=self.initializer_range / (2 * self.num_layers) ** 0.5,
            param_dtype=self.param_init_type,
        )  # fmt: skip

    def decoder_spec(self, layers: tuple[LayerSpec, ...]) -> DecoderSpec:
        """Return the declaration of a model with these layers."""
        return DecoderSpec(
            self.vocab_size, self.hidden_size, self.seq_length, layers, self.norm_spec(),
            tied=self.tie_word_embeddings, learned_positions=True, embedding_dropout=self.embedding_dropout_prob,
            std=self.initializer_range, param_dtype=self.param_init_type,
        )  # fmt: skip

    @classmethod
    def _from_alias(cls, name: str, value: Any) -> Any:
        if name != "activation_function":
            return value
        if value not in ACTIVATION_NAMES:
            raise ConfigError(
                f"activation_function={value!r} is not supported", value=value,
                hint=f"it may be one of: {', '.join(ACTIVATION_NAMES)}",
            )
        return _FROM_FILE.get(value, value)

    @classmethod
    def _to_alias(cls, name: str, value: Any) -> Any:
        return _MINDFORMERS.get(value, value) if name == "activation_function" else value
