"""GPT-2's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, field_validator, model_validator

from mf_core import PretrainedConfig
from mf_core.config import ACTIVATION_NAMES, DType, TokenId, TokenIds
from mf_core.errors import ConfigError, UnsupportedError

Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
G = TypeVar("G", bound="GPT2Config")

#: ``hidden_act`` -> the activation's name in ``mf_core.nn.ACTIVATIONS``, where the two differ: MindFormers calls the
#: tanh form "gelu", and ``x * sigmoid(1.702 * x)`` "fast_gelu".
_MINDFORMERS = {"gelu": "gelu_new", "gelu_exact": "gelu", "fast_gelu": "quick_gelu"}
_FROM_FILE = {name: ours for ours, name in _MINDFORMERS.items()}


class GPT2Config(PretrainedConfig):
    """Configuration of GPT-2. Fields may also be given by the names that Hugging Face checkpoints use (``n_embd``).

    Attributes:
        batch_size: Rows of a training batch, for scripts that read it here.
        seq_length: Longest sequence in tokens (``n_positions``).
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth, heads (``n_embd``, ``n_layer``, ``n_head``).
        expand_ratio: Width of the feed-forward layer as a multiple of ``hidden_size``.
        intermediate_size: That width itself (``n_inner``); None: by ``expand_ratio``.
        hidden_act: The activation by MindFormers' names: ``"gelu"`` (the tanh form), ``"gelu_exact"``, ``"fast_gelu"``
            (``x * sigmoid(1.702 * x)``); any other by that of ``mf_core.nn.ACTIVATIONS``. In ``config.json`` it is
            ``activation_function``, by the names of ``transformers``: ``"gelu_new"`` is the tanh form, ``"gelu"`` the
            exact one.
        bos_token_id, eos_token_id, pad_token_id, unk_token_id: Special tokens.
        embedding_dropout_prob, hidden_dropout_rate, attention_dropout_rate: Dropouts, in training.
        layernorm_epsilon: Added to variances.
        initializer_range: Standard deviation of initial weights.
        post_layernorm_residual: Add the residual after the layer norm rather than before it.
        tie_word_embeddings: Whether the head is the token embedding; set by the weights that are loaded, where they
            have a head of their own.
        scale_attn_weights, scale_attn_by_inverse_layer_idx: Whether scores are divided by ``sqrt(head width)``, and by
            the layer's number.
        param_init_type, compute_dtype, softmax_compute_type, layernorm_compute_type: Types. A backend may compute in
            another than the default ``compute_dtype``, and says so; one that is set is kept or refused.
        do_sample, top_k, top_p, temperature, repetition_penalty, max_decode_length: Defaults of generation.
        use_past: Accepted for MindFormers' configurations; generation always uses the cache.
        checkpoint_name_or_path: Checkpoint that ``GPT2LMHeadModel(config)`` loads; empty: none.
        num_labels: Classes of a classification head.
        parallel_config: Accepted for MindFormers' configurations.
    """

    model_type: ClassVar[str] = "gpt2"
    json_names: ClassVar[Mapping[str, str]] = {
        "seq_length": "n_positions",
        "vocab_size": "vocab_size",
        "hidden_size": "n_embd",
        "num_layers": "n_layer",
        "num_heads": "n_head",
        "intermediate_size": "n_inner",
        "hidden_act": "activation_function",
        "bos_token_id": "bos_token_id",
        "eos_token_id": "eos_token_id",
        "embedding_dropout_prob": "embd_pdrop",
        "hidden_dropout_rate": "resid_pdrop",
        "attention_dropout_rate": "attn_pdrop",
        "layernorm_epsilon": "layer_norm_epsilon",
        "initializer_range": "initializer_range",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "max_position_embeddings": "seq_length",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "ffn_hidden_size": "intermediate_size",
    }

    batch_size: Positive = 1
    seq_length: Positive = 1024
    vocab_size: Positive = 50257
    hidden_size: Positive = 768
    num_layers: Positive = 12
    num_heads: Positive = 12
    expand_ratio: Positive = 4
    intermediate_size: Positive | None = None
    hidden_act: str = "gelu"
    bos_token_id: TokenId = 50256
    eos_token_id: TokenIds = 50256
    pad_token_id: TokenId = 50256
    unk_token_id: TokenId = 50256
    embedding_dropout_prob: Probability = 0.1
    hidden_dropout_rate: Probability = 0.1
    attention_dropout_rate: Probability = 0.1
    layernorm_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    post_layernorm_residual: bool = False
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    param_init_type: DType = "float32"
    compute_dtype: DType = "float16"
    softmax_compute_type: DType = "float32"
    layernorm_compute_type: DType = "float32"
    do_sample: bool = True
    top_k: Annotated[int, Field(ge=0)] = 5
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    max_decode_length: Positive = 1024
    use_past: bool = False
    checkpoint_name_or_path: str = ""
    num_labels: Positive = 2
    parallel_config: dict[str, Any] | None = None

    @field_validator("hidden_act")
    @classmethod
    def _check_activation(cls, value: str) -> str:
        known = [*_MINDFORMERS, *(name for name in ACTIVATION_NAMES if name not in _FROM_FILE)]
        if value not in known:
            raise ValueError(f"the activations are: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _check_heads(self) -> GPT2Config:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        return self

    @property
    def ffn_size(self) -> int:
        """Width of the feed-forward layer."""
        return self.intermediate_size or self.expand_ratio * self.hidden_size

    @classmethod
    def from_dict(cls: type[G], data: Mapping[str, Any], **overrides: Any) -> G:
        """See the base class; raise UnsupportedError for a checkpoint with layers that this model has not."""
        if data.get("add_cross_attention"):
            raise UnsupportedError(
                "add_cross_attention=True is not supported", value=True,
                why="such a checkpoint is the decoder of an encoder-decoder model, and has weights for attention to it",
                hint="use a checkpoint of GPT-2 itself, which reads one text",
            )
        ratio, width, inner = data.get("expand_ratio"), data.get("n_embd"), data.get("intermediate_size", 0)
        if inner is None and isinstance(ratio, int) and isinstance(width, int) and data.get("n_inner") == ratio * width:
            data = {**data, "n_inner": None}  # to_file_dict wrote both
        return super().from_dict(data, **overrides)

    def to_file_dict(self) -> dict[str, Any]:
        """See the base class; in the terms of Hugging Face's checkpoints."""
        data = super().to_file_dict()
        if self.intermediate_size is None and self.expand_ratio != 4:
            # The first is for readers that know no expand_ratio, the second tells that it was not given.
            data.update(n_inner=self.ffn_size, intermediate_size=None)
        return data

    @property
    def activation_name(self) -> str:
        """See the base class."""
        return _MINDFORMERS.get(self.hidden_act, self.hidden_act)

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
