"""Phi-3, Phi-3.5 and Phi-4: what their configuration declares."""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import DecoderForCausalLM

from .config import Phi3Config


class Phi3ForCausalLM(DecoderForCausalLM):
    """Phi-3 with its language-model head."""

    config_class: ClassVar[type[Phi3Config]] = Phi3Config
    recomputes_long: ClassVar[bool] = True
