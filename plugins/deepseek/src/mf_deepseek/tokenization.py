"""The families' tokenizer: what a checkpoint's ``tokenizer.json`` says."""

from __future__ import annotations

from mf_core.tokenization import FastTokenizer


class DeepseekTokenizer(FastTokenizer):
    """A tokenizer of a ``tokenizer.json``, which is complete: algorithm, vocabulary and special tokens."""
