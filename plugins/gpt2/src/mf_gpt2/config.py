"""GPT-2's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from mf_core.config import TokenId, TokenIds
from mf_core.errors import UnsupportedError
from mf_core.models import AttentionSpec, GPTConfig

Positive = Annotated[int, Field(gt=0)]
G = TypeVar("G", bound="GPT2Config")


class GPT2Config(GPTConfig):
    """Configuration of GPT-2. Fields may also be given by the names that Hugging Face checkpoints use (``n_embd``).

    See :class:`mf_core.models.GPTConfig` for the other fields.

    Attributes:
        expand_ratio: Width of the feed-forward layer as a multiple of ``hidden_size``.
        intermediate_size: That width itself (``n_inner``); None: by ``expand_ratio``.
        unk_token_id: The token of unknown text.
        tie_word_embeddings: Whether the head is the token embedding; set to False by checkpoints with a separate head.
        scale_attn_weights, scale_attn_by_inverse_layer_idx: Whether scores are divided by ``sqrt(head width)``, and by
            the layer's number.
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

    expand_ratio: Positive = 4
    intermediate_size: Positive | None = None
    bos_token_id: TokenId = 50256
    eos_token_id: TokenIds = 50256
    pad_token_id: TokenId = 50256
    unk_token_id: TokenId = 50256
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False

    @property
    def ffn_size(self) -> int:
        """See the base class."""
        return self.intermediate_size or self.expand_ratio * self.hidden_size

    def attention_spec(self, layer: int) -> AttentionSpec:
        """See the base class."""
        spec = super().attention_spec(layer)
        scale = spec.head_dim**-0.5 if self.scale_attn_weights else 1.0
        return replace(spec, fused="beside", scale=scale / (layer + 1 if self.scale_attn_by_inverse_layer_idx else 1))

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
