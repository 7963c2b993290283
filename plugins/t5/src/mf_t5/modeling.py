"""T5 (Raffel et al., 2020) and mT5 (Xue et al., 2021).

Parameter names are those of Hugging Face's checkpoints, which are the defaults of
:mod:`mf_core.models.seq2seq_spec`.
"""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import EncoderDecoderForSeq2SeqLM

from .config import MT5Config, T5Config


class T5ForConditionalGeneration(EncoderDecoderForSeq2SeqLM):
    """T5 that writes a text in answer to another."""

    config_class: ClassVar[type[T5Config]] = T5Config


class MT5ForConditionalGeneration(EncoderDecoderForSeq2SeqLM):
    """mT5 that writes a text in answer to another."""

    config_class: ClassVar[type[MT5Config]] = MT5Config
