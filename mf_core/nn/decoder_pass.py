"""A decoder as plain data: what a backend needs to run a whole pass, from ids to logits, in one call.

A model whose layers are declared as parts is described by these (:meth:`mf_core.PretrainedModel.decoder_arrays`); a
backend that has the kernel ``decoder_pass`` runs them without a graph, so nothing is compiled for a length or a cache.

Shapes: E width of the hidden states, H heads, G heads of keys and values, D width of a head, F inner width of a
feed-forward layer, V vocabulary, L positions. Arrays are numpy views of the model's parameters; nothing is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

#: ``inputs_first``: (in, out) fp32; all others (out, in): ``f32``, ``int8`` with scales, ``bfloat16`` of 2 bytes.
#: ``…_rounded``: products of many rows round both sides to bfloat16. ``q…``: the block formats of GGUF files, uint8
#: ``(out, bytes of a row)``.
MatrixKind = Literal[
    "inputs_first", "inputs_first_rounded", "f32", "f32_rounded", "int8", "bfloat16",
    "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k",
]  # fmt: skip
NormKind = Literal["rms", "layer"]
Activation = Literal["gelu_tanh", "swish", "gelu", "relu", "relu_squared", "clamped_swish"]


@dataclass(frozen=True)
class Matrix:
    """The weight of a linear layer or an embedding.

    Attributes:
        data: As ``kind`` says.
        kind: How it is stored.
        inner, outer: Numbers of inputs and of outputs.
        scale: ``(outer,)`` fp32, which multiplies the outputs.
        bias: ``(outer,)`` fp32.
    """

    data: np.ndarray
    kind: MatrixKind
    inner: int
    outer: int
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Norm:
    """A norm.

    Attributes:
        kind: RMS or layer norm.
        weight: fp32; its size is the width of what is normalised together.
        epsilon: Added to the variance.
        bias: Of a layer norm.
    """

    kind: NormKind
    weight: np.ndarray
    epsilon: float
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Rotary:
    """Rotary positions of the first numbers of each head.

    Attributes:
        cos, sin: ``(L, pairs)`` fp32.
        interleaved: Whether pairs are neighbours; otherwise i and i + pairs.
    """

    cos: np.ndarray
    sin: np.ndarray
    interleaved: bool = False


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward layer: ``down(activation(gate(x)) * up(x))``, or without ``up``.

    Attributes:
        activation: What is applied to the gate's outputs.
        beta: Of ``swish``: ``x * sigmoid(beta * x)``.
        limit: Of ``clamped_swish``, which bounds its inputs.
    """

    gate: Matrix
    down: Matrix
    up: Matrix | None = None
    activation: Activation = "swish"
    beta: float = 1.0
    limit: float = 0.0


@dataclass(frozen=True)
class Experts:
    """A mixture of experts instead of the feed-forward layer.

    Attributes:
        router: ``(E -> count)``.
        experts: One feed-forward layer each.
        chosen: How many each token chooses.
        normalized: Whether the chosen ones' weights are divided by their sum.
        softmax_after: The softmax is over the chosen scores alone.
        sigmoid: Scores are sigmoids; otherwise a softmax.
        correction: ``(count,)``, added to scores for choosing only.
        groups, chosen_groups: Experts are in groups, of which the best are chosen first.
        scale: Multiplies the weights.
        shared: Runs for every token.
        shared_gate: ``(E -> 1)``, whose sigmoid weighs the shared expert.
    """

    router: Matrix
    experts: tuple[FeedForward, ...]
    chosen: int
    normalized: bool = False
    softmax_after: bool = False
    sigmoid: bool = False
    correction: np.ndarray | None = None
    groups: int = 1
    chosen_groups: int = 1
    scale: float = 1.0
    shared: FeedForward | None = None
    shared_gate: Matrix | None = None


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        inputs: One matrix that makes queries, keys and values beside each other, or three.
        output: Of attention.
        feed: The feed-forward layer, or the experts in its place.
        heads, groups, size: H, G and D.
        scale: Of the scores.
        input_norm, feed_norm: Before the sublayers; None: there is none.
        attention_norm, output_norm: Of what the sublayers give; with ``norms_sums``, of the sums with the residuals.
        stream_norm: Of the hidden states that the layer is given, before all else.
        query_norm, key_norm: Of each head, or of all heads together, by the size of the weight.
        rotary: None: nothing is turned.
        window: A token attends to so many, itself included; 0: to all before it.
        soft_cap: Bounds the scores by tanh; 0: they are not bounded.
        slopes: ``(H,)``, of ALiBi.
        sinks: ``(H,)``, scores without a value that take part in the softmax.
        residual_scale: Multiplies what a sublayer adds.
        parallel: The feed-forward layer reads the layer's input; with ``input_norm``'s result where it has no norm.
        normed_residual: Residuals are taken after the norms.
        norms_sums: See ``attention_norm``.
        by_head: The one matrix of ``inputs`` has the queries of each key-value head, its key and its value beside each
            other.
        queries: ``(L, E)``: a table from which queries are made by position, for the last tokens alone; None: they are
            made of the normed input.
    """

    inputs: tuple[Matrix, ...]
    output: Matrix
    feed: FeedForward | Experts
    heads: int
    groups: int
    size: int
    scale: float
    input_norm: Norm | None = None
    feed_norm: Norm | None = None
    attention_norm: Norm | None = None
    output_norm: Norm | None = None
    stream_norm: Norm | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    rotary: Rotary | None = None
    window: int = 0
    soft_cap: float = 0.0
    slopes: np.ndarray | None = None
    sinks: np.ndarray | None = None
    residual_scale: float = 1.0
    parallel: bool = False
    normed_residual: bool = False
    norms_sums: bool = False
    by_head: bool = False
    queries: np.ndarray | None = None


@dataclass(frozen=True)
class Decoder:
    """A whole model.

    Attributes:
        embedding: ``(E -> V)``: a row for each token.
        layers: In order.
        last_norm: None: there is none.
        head: ``(E -> V)``.
        embedding_scale: Multiplies the embeddings.
        positions: ``(L, E)``, learned, added to the embeddings.
        embedding_norm: Of the sum.
        logit_scale, logit_cap: The logits are multiplied, then bounded by tanh; 0: not bounded.
        long_from, long_offset: Rows of texts of more than ``long_from`` tokens read the rotary tables from
            ``long_offset`` on (LongRoPE); 0: always from the first on.
    """

    embedding: Matrix
    layers: tuple[Layer, ...]
    head: Matrix
    last_norm: Norm | None = None
    embedding_scale: float = 1.0
    positions: np.ndarray | None = None
    embedding_norm: Norm | None = None
    logit_scale: float = 1.0
    logit_cap: float = 0.0
    long_from: int = 0
    long_offset: int = 0
