"""Granite: what its configuration declares."""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import GraniteConfig


class GraniteForCausalLM(DecoderForCausalLM):
    """Granite with its language-model head."""

    config_class: ClassVar[type[GraniteConfig]] = GraniteConfig
