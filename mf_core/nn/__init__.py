"""Building blocks of models: layers, attention with a cache, losses, parameter initialisation."""

from .activations import ACTIVATIONS
from .attention import (
    Attention,
    CausalBias,
    LayerCache,
    PaddingBias,
    WindowBias,
    attention_weights,
    causal_bias,
    merge_heads,
    positions,
    split_heads,
    write_cache,
)
from .dropout import Dropout, HeadDropout, dropout_operators, set_random_key
from .init import ms_dtype, parameter, skip_init
from .layers import Embedding, LayerNorm, Linear
from .losses import CrossEntropy
from .norms import RMSNorm
from .operators import Operators
from .parallel import GatherRows, ScatterRows, SplitCrossEntropy, SumBoth
from .rotary import Rotary

__all__ = [
    "ACTIVATIONS",
    "Attention",
    "CausalBias",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "GatherRows",
    "HeadDropout",
    "LayerCache",
    "LayerNorm",
    "Linear",
    "Operators",
    "PaddingBias",
    "RMSNorm",
    "Rotary",
    "ScatterRows",
    "SplitCrossEntropy",
    "SumBoth",
    "WindowBias",
    "attention_weights",
    "causal_bias",
    "dropout_operators",
    "merge_heads",
    "ms_dtype",
    "parameter",
    "positions",
    "set_random_key",
    "skip_init",
    "split_heads",
    "write_cache",
]
