"""Tokenizers: text to ids and back."""

from .base import PretrainedTokenizer
from .fast import TOKENIZER_FILE, FastTokenizer, padding_options, read_tokenizer_json, with_added_tokens

__all__ = [
    "TOKENIZER_FILE",
    "FastTokenizer",
    "PretrainedTokenizer",
    "padding_options",
    "read_tokenizer_json",
    "with_added_tokens",
]
