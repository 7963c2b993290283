"""GPT-2's processor."""

from __future__ import annotations

from typing import ClassVar

from mf_core.processing import TextProcessor


class GPT2Processor(TextProcessor):
    """Texts to rows of ids, padded with the tokenizer's pad token."""

    default_tokenizer: ClassVar[str] = "gpt2"
