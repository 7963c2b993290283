"""Llama's hyper-parameters."""

from __future__ import annotations

from typing import ClassVar

from mf_core.config import TokenId, TokenIds
from mf_core.models import DecoderConfig


class LlamaConfig(DecoderConfig):
    """Configuration of Llama: the fields of :class:`mf_core.models.DecoderConfig`, with TinyLlama's sizes."""

    model_type: ClassVar[str] = "llama"

    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 2
