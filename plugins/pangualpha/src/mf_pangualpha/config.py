"""PanGu-alpha's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mf_core import PretrainedConfig
from mf_core.config import ACTIVATION_NAMES, DType, TokenId, TokenIds
from mf_core.errors import ConfigError

Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]

#: ``hidden_act`` -> the activation's name in ``mf_core.nn.ACTIVATIONS``, where the two differ: MindFormers' names.
_MINDFORMERS = {"fast_gelu": "quick_gelu", "gelu": "gelu_new", "gelu_exact": "gelu"}
_FROM_FILE = {name: ours for ours, name in _MINDFORMERS.items()}


class PanguAlphaConfig(PretrainedConfig):
    """Configuration of PanGu-alpha. Fields may also be given by the names that Hugging Face's users know (``n_embd``).

    Attributes:
        batch_size: Rows of a training batch, for scripts that read it here.
        seq_length: Longest sequence in tokens (``max_position_embeddings``).
        vocab_size: Entries of the vocabulary.
        hidden_size, num_layers, num_heads: Width, depth with the top query layer, heads.
        ffn_hidden_size: Width of the feed-forward layers (``intermediate_size``); it does not follow ``hidden_size``.
        hidden_act: The activation by MindFormers' names: ``"fast_gelu"`` (``x * sigmoid(1.702 * x)``), ``"gelu"`` (the
            tanh form), ``"gelu_exact"``; any other by that of ``mf_core.nn.ACTIVATIONS``. As ``activation_function`` it
            goes by the names of ``transformers``.
        bos_token_id, eos_token_id, eod_token_id, pad_token_id: Special tokens; EOS ends a generated text, EOD a
            document of training data.
        embedding_dropout_prob, hidden_dropout_rate, attention_dropout_rate: Dropouts, in training.
        layernorm_epsilon: Added to variances.
        initializer_range: Standard deviation of initial weights.
        post_layernorm_residual: Add the residual after the layer norm rather than before it.
        use_moe: Whether the blocks below the top query layer have ``expert_num`` experts in place of one feed-forward
            layer. Without it, or with one expert, the next three fields mean nothing.
        expert_num: Experts of a block.
        per_token_num_experts_chosen: How many of them a token goes through.
        aux_loss_factor: Weight of the loss that balances the experts.
        param_init_type, compute_dtype, layernorm_compute_type: Types. A backend may compute in another than the default
            ``compute_dtype``, and says so; one that is set is kept or refused.
        softmax_compute_type: Type of attention's softmax. The default holds where the model computes in float16; where
            it computes in another type, the softmax is float32 unless this is set.
        do_sample, top_k, top_p, temperature, repetition_penalty, max_decode_length: Defaults of generation.
        use_past: Accepted for MindFormers' configurations; generation always uses the cache.
        checkpoint_name_or_path: Checkpoint that ``PanguAlphaHeadModel(config)`` loads; empty: none.
        num_labels: Classes of a classification head.
        parallel_config: Accepted for MindFormers' configurations.
    """

    model_type: ClassVar[str] = "pangualpha"
    #: Fields that ``config.json`` always has: there they go by the names they have here.
    json_names: ClassVar[Mapping[str, str]] = {
        name: name
        for name in (
            "seq_length", "vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_hidden_size", "hidden_act",
            "eos_token_id", "pad_token_id", "embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate",
            "layernorm_epsilon", "initializer_range",
        )
    }  # fmt: skip
    aliases: ClassVar[Mapping[str, str]] = {
        "max_position_embeddings": "seq_length",
        "n_positions": "seq_length",
        "n_embd": "hidden_size",
        "num_hidden_layers": "num_layers",
        "n_layer": "num_layers",
        "num_attention_heads": "num_heads",
        "n_head": "num_heads",
        "intermediate_size": "ffn_hidden_size",
        "n_inner": "ffn_hidden_size",
        "activation_function": "hidden_act",
        "embd_pdrop": "embedding_dropout_prob",
        "resid_pdrop": "hidden_dropout_rate",
        "hidden_dropout_prob": "hidden_dropout_rate",
        "attn_pdrop": "attention_dropout_rate",
        "attention_probs_dropout_prob": "attention_dropout_rate",
        "layer_norm_epsilon": "layernorm_epsilon",
        "layer_norm_eps": "layernorm_epsilon",
        "num_local_experts": "expert_num",
        "num_experts_per_tok": "per_token_num_experts_chosen",
        "router_aux_loss_coef": "aux_loss_factor",
    }

    batch_size: Positive = 1
    seq_length: Positive = 1024
    vocab_size: Positive = 40000
    hidden_size: Positive = 2560
    num_layers: Positive = 32
    num_heads: Positive = 32
    ffn_hidden_size: Positive = 10240
    hidden_act: str = "fast_gelu"
    bos_token_id: TokenId = None
    eos_token_id: TokenIds = 8
    eod_token_id: TokenId = None
    pad_token_id: TokenId = 6
    embedding_dropout_prob: Probability = 0.1
    hidden_dropout_rate: Probability = 0.1
    attention_dropout_rate: Probability = 0.1
    layernorm_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    post_layernorm_residual: bool = False
    use_moe: bool = False
    expert_num: Positive = 1
    per_token_num_experts_chosen: Positive = 1
    aux_loss_factor: Annotated[float, Field(ge=0)] = 0.05
    tie_word_embeddings: Literal[True] = True
    param_init_type: DType = "float32"
    compute_dtype: DType = "float16"
    softmax_compute_type: DType = "float16"
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
    def _check_sizes(self) -> PanguAlphaConfig:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}")
        if self.use_moe and self.per_token_num_experts_chosen > self.expert_num:
            raise ValueError(
                f"per_token_num_experts_chosen={self.per_token_num_experts_chosen} is more than "
                f"expert_num={self.expert_num}"
            )
        return self

    @property
    def has_experts(self) -> bool:
        """Whether the blocks are mixtures of experts."""
        return self.use_moe and self.expert_num > 1

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
