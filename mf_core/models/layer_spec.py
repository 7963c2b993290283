"""Declarations of decoders and encoders as data; cells, kernels and parallel plans follow from them.

Importing this module imports neither mindspore nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Role of a cell or parameter -> its name in checkpoints, as Llama's have it. A family's ``names`` replaces entries.
NAMES: Mapping[str, str] = {
    "decoder": "model",
    "embedding": "embed_tokens",
    "position_embedding": "embed_positions",
    "embedding_norm": "embed_norm",
    "layers": "layers",
    "last_norm": "norm",
    "lm_head": "lm_head",
    "attention_norm": "input_layernorm",
    "attention": "self_attn",
    "attention_output_norm": "attention_output_layernorm",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "query_key_value": "qkv_proj",
    "query_norm": "q_norm",
    "key_norm": "k_norm",
    "sinks": "sinks",
    "query_down": "q_a_proj",
    "query_latent_norm": "q_a_layernorm",
    "query_up": "q_b_proj",
    "latent": "kv_a_proj_with_mqa",
    "latent_norm": "kv_a_layernorm",
    "latent_up": "kv_b_proj",
    "output": "o_proj",
    "cross_attention": "cross_attn",
    "cross_attention_norm": "cross_attention_layernorm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward": "mlp",
    "feed_forward_output_norm": "feed_forward_output_layernorm",
    "gate": "gate_proj",
    "up": "up_proj",
    "gate_up": "gate_up_proj",
    "down": "down_proj",
    "router": "gate",
    "experts": "experts",
    "shared_expert": "shared_expert",
    "shared_expert_gate": "shared_expert_gate",
}


#: The same for encoders, as BERT's have it. Where the feed-forward part has no name (``""``), its linear layers are
#: children of the layer.
ENCODER_NAMES: Mapping[str, str] = {
    **NAMES,
    "encoder": "bert",
    "embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "token_type_embedding": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
    "layers": "encoder.layer",
    "attention": "attention",
    "query": "self.query",
    "key": "self.key",
    "value": "self.value",
    "output": "output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward": "",
    "up": "intermediate.dense",
    "down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
    "pooler": "bert.pooler.dense",
    "transform": "cls.predictions.transform.dense",
    "transform_norm": "cls.predictions.transform.LayerNorm",
    "output_embedding": "cls.predictions.decoder",
    "output_bias": "cls.predictions.bias",
    "classifier": "classifier",
    "spans": "qa_outputs",
}

#: The same for encoders of images, as ViT's have it.
VISION_NAMES: Mapping[str, str] = {
    **ENCODER_NAMES,
    "encoder": "vit",
    "class_token": "embeddings.cls_token",
    "patch_embedding": "embeddings.patch_embeddings.projection",
    "position_embedding": "embeddings.position_embeddings",
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attention_norm": "layernorm_before",
    "feed_forward_norm": "layernorm_after",
    "last_norm": "layernorm",
    "pooler": "vit.pooler.dense",
}


@dataclass(frozen=True)
class NormSpec:
    """A normalisation.

    Attributes:
        kind: Root mean square, or LayerNorm.
        epsilon: Added to mean squares or variances.
        bias: Whether a LayerNorm has a bias.
        offset: Added to an RMS norm's weight (Gemma: 1).
        dtype: Type of the computation.
    """

    kind: Literal["rms", "layer"] = "rms"
    epsilon: float = 1e-6
    bias: bool = True
    offset: float = 0.0
    dtype: str = "float32"


@dataclass(frozen=True)
class RotarySpec:
    """Rotary positions; see :class:`mf_core.nn.Rotary`.

    Attributes:
        frequencies: Angle per position of each pair; ``2 * len(frequencies)`` elements of a head are rotated.
        scale: Factor of cosines and sines.
        interleaved: Whether pairs are neighbours.
        long_frequencies: For texts of more than ``long_from`` positions.
        long_from: The original context, beyond which ``long_frequencies`` hold.
    """

    frequencies: tuple[float, ...]
    scale: float = 1.0
    interleaved: bool = False
    long_frequencies: tuple[float, ...] | None = None
    long_from: int = 0


@dataclass(frozen=True)
class LatentSpec:
    """Keys and values made of a latent of each token, which is what the cache has (DeepSeek-AI, 2024, "DeepSeek-V2").

    Attributes:
        rank: Width of the latent.
        rotary_width: Elements of a head that are rotated, the last ones; their key is one for all heads.
        value_width: Width of a head of values.
        query_rank: Width of a latent that queries are made of; None: they are made of the hidden states.
        norm: Of both latents.
    """

    rank: int
    rotary_width: int
    value_width: int
    query_rank: int | None = None
    norm: NormSpec = field(default_factory=NormSpec)


@dataclass(frozen=True)
class AttentionSpec:
    """Masked self-attention.

    Attributes:
        heads, key_value_heads, head_dim: Heads of queries, of keys and values, and the width of each.
        scale: Of the scores; None: ``1 / sqrt(head_dim)``.
        query_std: Standard deviation of the queries' initial weights; None: the layer's.
        bias: Whether queries, keys and values have biases.
        output_bias: Whether the output projection has one.
        fused: One linear layer makes queries, keys and values, ``"beside"`` each other or, ``"by_head"``, those of each
            head beside each other; None: three layers do.
        query_key_norm: Norm of queries and keys before rotary; None: there is none.
        norm_per_head: Whether it is over each head, or over the whole projection.
        rotary: None: positions are not rotated in this layer.
        window: Keys that a query attends to, its own included; None: all before it.
        soft_cap: Of the scores.
        sinks: Whether each head has a learned score that takes weight from the keys.
        alibi: Whether scores fall with the distance, by head (Press et al., 2022).
        dropout: Of the weights, in training.
        softmax_dtype: None: float16 where queries are, else float32.
        latent: How keys and values are made of a latent; ``bias`` is then of what makes the latents. None: of the
            hidden states.
    """

    heads: int
    key_value_heads: int
    head_dim: int
    scale: float | None = None
    query_std: float | None = None
    bias: bool = False
    output_bias: bool = False
    fused: Literal["beside", "by_head"] | None = None
    query_key_norm: NormSpec | None = None
    norm_per_head: bool = True
    rotary: RotarySpec | None = None
    window: int | None = None
    soft_cap: float | None = None
    sinks: bool = False
    alibi: bool = False
    dropout: float = 0.0
    softmax_dtype: str | None = "float32"
    latent: LatentSpec | None = None

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Heads of the cache, and the widths of what it has for a token instead of a key and of a value."""
        if self.latent is not None:
            return 1, self.latent.rank, self.latent.rotary_width
        return self.key_value_heads, self.head_dim, self.head_dim


@dataclass(frozen=True)
class ExpertsSpec:
    """A mixture of experts instead of one feed-forward layer.

    Attributes:
        count, chosen: Experts, and how many of them each token goes through.
        normalize: Whether the chosen experts' probabilities are divided by their sum.
        shared: Width of an expert that all tokens go through; None: there is none.
        shared_gate: Whether its output is multiplied by the sigmoid of a linear function of the token (Qwen2-MoE).
        outputs_first: Whether the router's weight is ``(experts, width)`` rather than ``(width, experts)``.
        sigmoid: Whether experts are weighed by the sigmoids of their scores rather than by a softmax (DeepSeek-V3).
        correction: Whether each expert has a number that is added for the choice, not for the weight.
        groups, chosen_groups: Experts are in groups, of which the best are chosen first, by the sum of their two best
            sigmoids or by their best probability.
        scale: Factor of the weights.
    """

    count: int
    chosen: int
    normalize: bool = True
    shared: int | None = None
    shared_gate: bool = False
    outputs_first: bool = True
    sigmoid: bool = False
    correction: bool = False
    groups: int = 1
    chosen_groups: int = 1
    scale: float = 1.0


@dataclass(frozen=True)
class FeedForwardSpec:
    """A feed-forward layer.

    Attributes:
        inner: Its width.
        activation: Key of :data:`mf_core.nn.ACTIVATIONS`.
        gated: ``down(activation(gate(x)) * up(x))``, or else ``down(activation(up(x)))``.
        bias: Whether the linear layers have biases.
        fused: Whether one linear layer makes ``gate`` and ``up``.
        dropout: Of the input of ``down``, in training.
        experts: None: it is one layer.
    """

    inner: int
    activation: str = "silu"
    gated: bool = True
    bias: bool = False
    fused: bool = False
    dropout: float = 0.0
    experts: ExpertsSpec | None = None


@dataclass(frozen=True)
class LayerSpec:
    """A decoder layer.

    Attributes:
        width: Of what layers pass to each other, E.
        attention, feed_forward: Its sublayers, f below.
        cross_attention: A sublayer between them that attends to an encoder's output; None: there is none.
        norm: Its norms, N below.
        norms: Where they stand: ``"pre"``: ``x + f(N(x))``; ``"output"``: ``x + N(f(x))``; ``"sandwich"``:
            ``x + N(f(N(x)))``; ``"post"``: ``N(x + f(x))``; ``"parallel"``: ``x + f(N(x)) + g(M(x))``;
            ``"parallel_shared"``: the same with one norm.
        normed_residual: With ``"pre"``: ``N(x) + f(N(x))``.
        residual_multiplier: Factor of what sublayers add (Granite).
        dropout: Of what sublayers add, in training.
        outputs_first: Whether weights are ``(out, in)``.
        std: Standard deviation of initial weights.
        output_std: Of those of ``output`` and ``down``, which add to the residual stream; None: ``std``.
        param_dtype: Type of the parameters.
    """

    width: int
    attention: AttentionSpec
    feed_forward: FeedForwardSpec
    norm: NormSpec
    norms: Literal["pre", "output", "sandwich", "post", "parallel", "parallel_shared"] = "pre"
    normed_residual: bool = False
    residual_multiplier: float = 1.0
    cross_attention: AttentionSpec | None = None
    dropout: float = 0.0
    outputs_first: bool = True
    std: float = 0.02
    output_std: float | None = None
    param_dtype: str = "float32"


@dataclass(frozen=True)
class DecoderSpec:
    """A decoder with a language-model head.

    Attributes:
        vocabulary, width, length: Entries, width of a hidden state, longest sequence.
        layers: In order.
        last_norm: After them; None: there is none.
        tied: Whether the head shares the embedding's weight.
        learned_positions: Whether there is an embedding of positions.
        embedding_norm: Of the embeddings; None: there is none.
        embedding_multiplier, embedding_dropout: Of the embeddings.
        logit_multiplier, logit_soft_cap: Of the logits.
        auxiliary_loss: Factor of the loss that balances experts, in training.
        std, param_dtype: Of the embeddings' weights.
        names: Role -> name in checkpoints; entries of :data:`NAMES` that differ.
    """

    vocabulary: int
    width: int
    length: int
    layers: tuple[LayerSpec, ...]
    last_norm: NormSpec | None
    tied: bool = False
    learned_positions: bool = False
    embedding_norm: NormSpec | None = None
    embedding_multiplier: float = 1.0
    embedding_dropout: float = 0.0
    logit_multiplier: float = 1.0
    logit_soft_cap: float | None = None
    auxiliary_loss: float = 0.0
    std: float = 0.02
    param_dtype: str = "float32"
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PatchSpec:
    """How images become tokens: patches without overlap, each by one product (Dosovitskiy et al., 2021, section 3.1).

    Attributes:
        image: Height and width of an image in pixels.
        patch: Those of a patch.
        channels: Channels of an image.
        bias: Whether the product has a bias.
        batched: Whether checkpoints store the class token as ``(1, 1, E)`` and positions as ``(1, S, E)``, rather than
            ``(E,)`` and ``(S, E)``.
    """

    image: tuple[int, int]
    patch: tuple[int, int]
    channels: int = 3
    bias: bool = True
    batched: bool = True

    @property
    def count(self) -> int:
        """Patches of an image."""
        return (self.image[0] // self.patch[0]) * (self.image[1] // self.patch[1])


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder's body: embeddings and layers, in which tokens attend to each other in both directions.

    Attributes:
        vocabulary, width, length: Entries, width of a hidden state, rows of the table of positions.
        layers: In order.
        embedding_norm: Of the sum of the embeddings; None: there is none.
        token_types: Rows of the table of segments; 0: there is none.
        position_offset: Row of the first position (RoBERTa: 2); positions are then counted without padding.
        embedding_dropout: In training.
        last_norm: After the layers; None: there is none.
        std, param_dtype: Of the embeddings' weights.
        patches: Of an encoder of images, which has no vocabulary (0); None: the encoder reads ids.
    """

    vocabulary: int
    width: int
    length: int
    layers: tuple[LayerSpec, ...]
    embedding_norm: NormSpec | None
    token_types: int = 0
    position_offset: int = 0
    embedding_dropout: float = 0.0
    last_norm: NormSpec | None = None
    std: float = 0.02
    param_dtype: str = "float32"
    patches: PatchSpec | None = None
