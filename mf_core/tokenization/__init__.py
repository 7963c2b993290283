"""Tokenizers: text to ids and back."""

from .base import PretrainedTokenizer
from .fast import FastTokenizer, read_tokenizer_json

__all__ = ["FastTokenizer", "PretrainedTokenizer", "read_tokenizer_json"]
