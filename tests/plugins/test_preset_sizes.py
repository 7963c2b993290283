"""A published preset's number of parameters is that of what its configuration declares."""

from __future__ import annotations

import importlib

import pytest

from mf_core.models import AttentionSpec, DecoderSpec, FeedForwardSpec, LatentSpec, LayerSpec, NormSpec
from mf_core.plugins.published import published

PACKAGES = (
    "mf-bloom", "mf-deepseek", "mf-gemma", "mf-glm", "mf-gpt-neox", "mf-granite", "mf-llama", "mf-olmo", "mf-phi",
    "mf-qwen",
)  # fmt: skip
PRESETS = [(name, preset) for name in PACKAGES if name in published() for preset in published()[name].presets]
#: How many norms of the width of the hidden states a layer has.
NORMS = {"pre": 2, "output": 2, "sandwich": 4, "post": 2, "parallel": 2, "parallel_shared": 1}


def norm(spec: NormSpec | None, width: int) -> int:
    return 0 if spec is None else width * (1 + (spec.kind == "layer" and spec.bias))


def latent_attention(spec: AttentionSpec, latent: LatentSpec, width: int) -> int:
    queries, query_rank = spec.heads * spec.head_dim, latent.query_rank
    asking = width * queries if query_rank is None else (width + queries) * query_rank + norm(latent.norm, query_rank)
    made = spec.heads * (spec.head_dim - latent.rotary_width + latent.value_width)
    return (
        asking + width * (latent.rank + latent.rotary_width) + norm(latent.norm, latent.rank) + latent.rank * made
        + spec.heads * latent.value_width * width
    )  # fmt: skip


def attention(spec: AttentionSpec, width: int) -> int:
    if spec.latent is not None:
        return latent_attention(spec, spec.latent, width)
    queries, keys = spec.heads * spec.head_dim, spec.key_value_heads * spec.head_dim
    made = queries + 2 * keys
    each = (spec.head_dim, spec.head_dim) if spec.norm_per_head else (queries, keys)
    norms = sum(norm(spec.query_key_norm, size) for size in each)
    return width * (made + queries) + spec.bias * made + spec.output_bias * width + norms + spec.sinks * spec.heads


def feed_forward(spec: FeedForwardSpec, width: int) -> int:
    one = (2 + spec.gated) * width * spec.inner + spec.bias * ((1 + spec.gated) * spec.inner + width)
    if spec.experts is None:
        return one
    shared = 3 * width * (spec.experts.shared or 0)
    return spec.experts.count * (one + width + spec.experts.correction) + shared


def layer(spec: LayerSpec) -> int:
    norms = NORMS[spec.norms] * norm(spec.norm, spec.width)
    return attention(spec.attention, spec.width) + feed_forward(spec.feed_forward, spec.width) + norms


def parameters(spec: DecoderSpec) -> int:
    tables = spec.vocabulary * spec.width * (1 if spec.tied else 2)
    norms = norm(spec.embedding_norm, spec.width) + norm(spec.last_norm, spec.width)
    return tables + norms + sum(map(layer, spec.layers))


@pytest.mark.parametrize(("package", "preset"), PRESETS, ids=[preset.name for _, preset in PRESETS])
def test_parameters(package, preset):
    module = importlib.import_module(package.replace("-", "_") + ".plugin")
    spec = next(s for s in module.mf_configs() if any(each.name == preset.name for each in s.presets))
    where, name = spec.target.split(":")
    fields = next(each.config for each in spec.presets if each.name == preset.name)
    config = getattr(importlib.import_module(where), name)(**fields)
    layers = tuple(config.layer_spec(number) for number in range(config.num_layers))
    assert parameters(config.decoder_spec(layers)) == preset.parameters
