"""Declarations of encoder-decoder models as data; cells follow from them.

Importing this module imports neither mindspore nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .layer_spec import NAMES, LayerSpec, NormSpec

#: Role of a cell or parameter -> its name in checkpoints, as T5's have it. ``relative_bias`` is a path from a stack.
SEQ2SEQ_NAMES: Mapping[str, str] = {
    **NAMES,
    "embedding": "shared",
    "encoder": "encoder",
    "decoder": "decoder",
    "layers": "block",
    "last_norm": "final_layer_norm",
    "relative_bias": "block.0.layer.0.SelfAttention.relative_attention_bias",
    "attention": "layer.0.SelfAttention",
    "attention_norm": "layer.0.layer_norm",
    "cross_attention": "layer.1.EncDecAttention",
    "cross_attention_norm": "layer.1.layer_norm",
    "query": "q",
    "key": "k",
    "value": "v",
    "output": "o",
    "gate": "wi_0",
    "up": "wi_1",
    "down": "wo",
}


@dataclass(frozen=True)
class RelativeSpec:
    """Learned biases of the scores by distance, one table for all layers of a stack (Raffel et al., 2020, section 2.1).

    Attributes:
        buckets: Rows of the table; half of them are of single distances, the others of ranges that grow.
        distance: From which on all distances share a bucket.
        both_directions: Whether half of the buckets are of keys after the query.
    """

    buckets: int = 32
    distance: int = 128
    both_directions: bool = True


@dataclass(frozen=True)
class StackSpec:
    """The layers of an encoder or a decoder.

    Attributes:
        layers: In order; those of a decoder have a ``cross_attention``.
        last_norm: After them; None: there is none.
        relative: Biases by distance; None: there are none.
        dropout: Of the embeddings and of the last norm's output, in training.
        names: Role -> name in checkpoints; entries that differ from the model's.
    """

    layers: tuple[LayerSpec, ...]
    last_norm: NormSpec | None
    relative: RelativeSpec | None = None
    dropout: float = 0.0
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EncoderDecoderSpec:
    """An encoder, a decoder that attends to its output, and a language-model head.

    Attributes:
        vocabulary, width, length: Entries, width of a hidden state, longest sequence on either side.
        encoder, decoder: The layers of each.
        tied: Whether the head shares the embedding's weight.
        logit_multiplier: Of the logits.
        std, head_std, param_dtype: Of the initial weights of the embedding and of a separate head.
    """

    vocabulary: int
    width: int
    length: int
    encoder: StackSpec
    decoder: StackSpec
    tied: bool = True
    logit_multiplier: float = 1.0
    std: float = 1.0
    head_std: float = 1.0
    param_dtype: str = "float32"
