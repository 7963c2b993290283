"""PanGu-alpha's processor."""

from __future__ import annotations

from typing import ClassVar

from mf_core.processing import TextProcessor


class PanguAlphaProcessor(TextProcessor):
    """Texts to rows of ids, padded with the tokenizer's pad token."""

    default_tokenizer: ClassVar[str] = "pangualpha_2_6b"
