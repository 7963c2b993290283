"""Lark's hyper-parameters."""

from __future__ import annotations

from typing import ClassVar

from mf_core.config import TokenId, TokenIds
from mf_core.models import DecoderConfig


class LarkConfig(DecoderConfig):
    """Configuration of Lark: the fields of :class:`mf_core.models.DecoderConfig`, with its sizes."""

    model_type: ClassVar[str] = "lark"

    bos_token_id: TokenId = 1
    eos_token_id: TokenIds = 2
