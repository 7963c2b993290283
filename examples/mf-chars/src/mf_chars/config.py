"""The family's configuration: a tokenizer is found through it, so there is one also where there is no model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from mf_core import PretrainedConfig
from pydantic import Field

Positive = Annotated[int, Field(gt=0)]


class CharsConfig(PretrainedConfig):
    """Sizes that a model for this tokenizer must have.

    Attributes:
        vocab_size: Entries of the vocabulary.
        seq_length: Longest sequence in tokens.
    """

    model_type: ClassVar[str] = "chars"

    vocab_size: Positive = 99
    seq_length: Positive = 128
