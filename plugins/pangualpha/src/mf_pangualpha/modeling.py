"""PanGu-alpha (Zeng et al., 2021, "PanGu-α: Large-scale Autoregressive Pretrained Chinese Language Models").

GPT's decoder, with a top query layer: the last layer's queries are not made of the hidden states, but are learned
embeddings of the positions, which ask for the token that comes next (section 2.2).

The parameters' names, with the layers counted from 0 and the linear weights as ``(in, out)``::

    backbone.word_embedding.weight, backbone.position_embedding.weight, backbone.top_query_embedding.weight
    backbone.blocks.0.layernorm1.{weight,bias}, backbone.blocks.0.layernorm2.{weight,bias}
    backbone.blocks.0.attention.{query,key,value,projection}.{weight,bias}
    backbone.blocks.0.mlp.{mapping,projection}.{weight,bias}
    backbone.blocks.0.mlp.router.weight, backbone.blocks.0.mlp.experts.0.…     with experts, instead of the line above
    backbone.layernorm.{weight,bias}
    backbone.top_query_layer.…                                                 like a block without experts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mindspore import Tensor, nn

from mf_core.models import ArraysReader, Cache, Decoder, DecoderForCausalLM, DecoderSpec
from mf_core.nn import Embedding
from mf_core.nn import decoder_pass as arrays

from .config import PanguAlphaConfig


class PanguAlphaModel(Decoder):
    """The body: embeddings, ``num_layers - 1`` blocks, a layer norm, the top query layer."""

    def __init__(self, spec: DecoderSpec, names: Mapping[str, str], dtype: str) -> None:
        super().__init__(replace(spec, layers=spec.layers[:-1]), names, dtype)
        self.top_query_embedding = Embedding(
            spec.length, spec.width, std=spec.std, param_dtype=spec.param_dtype, dtype=dtype
        )
        self.top_query_layer = self.make_layer(spec.layers[-1], spec.length, dtype)
        self.top = len(spec.layers) - 1

    def finish(
        self, x: Tensor, position_ids: Tensor, bias: Tensor, cache: Cache | None, last: int | None
    ) -> Tensor:
        """See the base class: the layer norm and the top query layer, on which no norm follows."""
        x = self.last_norm(x)
        if cache is None:
            return self.top_query_layer(x, position_ids, bias, None, None, self.top_query_embedding(position_ids))
        kept = position_ids.shape[1] if last is None else last
        queries = self.top_query_embedding(position_ids[:, -kept:])
        return self.top_query_layer(x, position_ids, bias[:, :, -kept:], cache[self.top], None, queries)


class PanguAlphaReader(ArraysReader):
    """Describes the top query layer as a layer whose queries are a table, with the layer norm before it."""

    def layers(self, model: Any) -> tuple[arrays.Layer, ...]:
        """See the base class."""
        body = model.decoder
        norm, queries = self.norm(body.last_norm), self.table(body.top_query_embedding)
        return *super().layers(model), self.layer(body.top_query_layer, stream_norm=norm, queries=queries)

    def last_norm(self, model: Any) -> arrays.Norm | None:
        """See the base class."""
        return None


class PanguAlphaHeadModel(DecoderForCausalLM):
    """PanGu-alpha with its language-model head, which shares the word embedding's weight."""

    config_class: ClassVar[type[PanguAlphaConfig]] = PanguAlphaConfig
    decoder_class: ClassVar[type[Decoder]] = PanguAlphaModel
    arrays_reader: ClassVar[type[ArraysReader]] = PanguAlphaReader
    names: ClassVar[Mapping[str, str]] = {
        "decoder": "backbone", "embedding": "word_embedding", "position_embedding": "position_embedding",
        "layers": "blocks", "last_norm": "layernorm", "attention_norm": "layernorm1", "attention": "attention",
        "query": "query", "key": "key", "value": "value", "output": "projection", "feed_forward_norm": "layernorm2",
        "up": "mapping", "down": "projection", "router": "router",
    }  # fmt: skip
    ignored_keys: ClassVar[tuple[str, ...]] = ()

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
        input_position: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """See the base class; ``input_position`` is MindFormers' name of ``position_ids``."""
        if input_position is not None:
            if position_ids is not None:
                raise ValueError("position_ids and input_position are two names of one thing: give one of them")
            position_ids = input_position
        return super().construct(input_ids, attention_mask, position_ids)

    def set_stage(self, layers: range, *, is_last: bool) -> None:
        """See the base class; the top query layer is the last stage's."""
        super().set_stage(range(layers.start, min(layers.stop, self.decoder.top)), is_last=is_last)

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The layers, the top query layer last."""
        return (*self.decoder.layers, self.decoder.top_query_layer)

    def stage_parts(self) -> tuple[list[nn.Cell | None], list[nn.Cell | None]]:
        """See the base class."""
        first, last = super().stage_parts()
        return first, [*last, self.decoder.top_query_embedding]
