"""What model families are built from: layers, attention with a cache, losses, and how parameters begin."""

from .attention import (
    attention_weights,
    cache_bias,
    cache_slots,
    causal_bias,
    merge_heads,
    positions,
    split_heads,
    write_cache,
)
from .dropout import Dropout, set_random_key
from .init import ms_dtype, parameter, skip_init
from .layers import ACTIVATIONS, Embedding, LayerNorm, Linear
from .losses import CrossEntropy
from .parallel import GatherRows, ScatterRows, SplitCrossEntropy, SumBoth

__all__ = [
    "ACTIVATIONS",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "GatherRows",
    "LayerNorm",
    "Linear",
    "ScatterRows",
    "SplitCrossEntropy",
    "SumBoth",
    "attention_weights",
    "cache_bias",
    "cache_slots",
    "causal_bias",
    "merge_heads",
    "ms_dtype",
    "parameter",
    "positions",
    "set_random_key",
    "skip_init",
    "split_heads",
    "write_cache",
]
