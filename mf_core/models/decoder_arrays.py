"""A declared decoder's weights as the arguments of the backend's kernel ``decoder_pass``."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import dtype as mstype

from ..nn import Attention, Embedding, LayerNorm, Linear, RMSNorm
from ..nn import decoder_pass as arrays
from ..nn.activations import FastGelu, GeluExact, GeluTanh, Relu, Relu2, Silu
from ..nn.block_quantized import BlockEmbedding, BlockLinear, BlockMatrix
from ..nn.weight_only import WeightOnlyEmbedding, WeightOnlyLinear
from .experts import MixtureOfExperts
from .feed_forward import FeedForward
from .self_attention import SelfAttention, alibi_slopes

_ACTIVATIONS: dict[type, tuple[arrays.Activation, float]] = {
    GeluTanh: ("gelu_tanh", 1.0), GeluExact: ("gelu", 1.0), Silu: ("swish", 1.0), FastGelu: ("swish", FastGelu.beta),
    Relu: ("relu", 1.0), Relu2: ("relu_squared", 1.0),
}  # fmt: skip


#: What the cells of layers without a window have for one.
_NO_WINDOW = 1 << 30


class Unsupported(Exception):
    """A part of the model that the kernel does not compute, or a type that it does not read."""


class ArraysReader:
    """Reads the cells of a :class:`mf_core.models.DecoderForCausalLM`; families whose body has more override it.

    Attributes:
        seen: Identities of the parameters that have been read: where one is left, such as an adapter's, the kernel
            would compute another model.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()

    @classmethod
    def read(cls, model: Any) -> arrays.Decoder | None:
        """Return a model's weights as the kernel takes them; None: it does not compute such a model.

        So where anything is split over processes, is of another type than fp32, or has a parameter beside those of its
        parts. Arrays are views of the parameters, valid until these are given other memory.
        """
        try:
            return cls().decoder(model)
        except Unsupported:
            return None

    def decoder(self, model: Any) -> arrays.Decoder:
        """Return the whole model."""
        body = model.decoder
        if body.own != tuple(range(len(body.layers))) or not body.is_last or model.activation_dtype != "float32":
            raise Unsupported
        spec = arrays.Decoder(
            self.embedding(body.embedding), self.layers(model), self.embedding(model.output_embedding),
            last_norm=self.last_norm(model),
            embedding_scale=body.multiplier,
            positions=None if body.position_embedding is None else self.table(body.position_embedding),
            embedding_norm=self.norm(body.embedding_norm),
            logit_scale=model.logit_multiplier, logit_cap=model.logit_soft_cap or 0.0,
            long_from=body.long_from, long_offset=body.length,
        )  # fmt: skip
        if {id(parameter) for parameter in model.get_parameters()} != self.seen:
            raise Unsupported
        return spec

    def layers(self, model: Any) -> tuple[arrays.Layer, ...]:
        """Return the layers, in order."""
        body = model.decoder
        windows = [body.windows[kind].window for kind in body.bias_of]
        return tuple(
            self.layer(cell, window=0 if window >= _NO_WINDOW else window)
            for cell, window in zip(body.layers, windows, strict=True)
        )

    def last_norm(self, model: Any) -> arrays.Norm | None:
        """Return the norm between the layers and the head."""
        return self.norm(model.decoder.last_norm)

    def layer(self, cell: Any, **more: Any) -> arrays.Layer:
        """Return a layer; ``more`` are fields that do not follow from its cell."""
        attention = cell.attention
        if type(attention) is not SelfAttention or type(attention.core) is not Attention:
            raise Unsupported
        if attention.core.by_compiler or attention.softmax_dtype not in (None, mstype.float32):
            raise Unsupported
        separate = attention.fused is None
        inputs = (attention.query, attention.key, attention.value) if separate else (attention.query_key_value,)
        before, after = ("attention_norm", "feed_forward_norm"), ("attention_output_norm", "feed_forward_output_norm")
        if cell.norms_sums:
            before, after = after, before
        # A role that the layer has not may have the name of another that it has.
        norms = {role: self.norm(getattr(cell, role)) for role in cell.norm_roles}
        first, second, given, added = (norms.get(role) for role in (*before, *after))
        rotary = attention.rotary
        return arrays.Layer(
            inputs=tuple(map(self.linear, inputs)), output=self.linear(attention.output),
            feed=self.experts(cell.feed_forward) if cell.has_experts else self.feed(cell.feed_forward),
            heads=attention.num_heads, groups=attention.groups, size=attention.head_dim, scale=attention.scale,
            input_norm=first, feed_norm=second, attention_norm=given, output_norm=added,
            query_norm=self.norm(attention.query_norm), key_norm=self.norm(attention.key_norm),
            rotary=None if rotary is None else arrays.Rotary(
                rotary.cos.asnumpy(), rotary.sin.asnumpy(), rotary.interleaved
            ),
            soft_cap=attention.soft_cap or 0.0,
            slopes=alibi_slopes(attention.num_heads) if attention.has_alibi else None,
            sinks=None if attention.sinks is None else self.array(attention.sinks),
            residual_scale=cell.multiplier, parallel=cell.is_parallel, normed_residual=cell.normed_residual,
            norms_sums=cell.norms_sums, by_head=attention.fused == "by_head", **more,
        )  # fmt: skip

    def feed(self, cell: Any) -> arrays.FeedForward:
        """Return a feed-forward layer."""
        if type(cell) is not FeedForward or type(cell.act) not in _ACTIVATIONS:
            raise Unsupported
        activation, beta = _ACTIVATIONS[type(cell.act)]
        if cell.is_fused:
            gate, up = self.halves(self.linear(cell.gate_up))
        elif cell.is_gated:
            gate, up = self.linear(cell.gate), self.linear(cell.up)
        else:
            gate, up = self.linear(cell.up), None
        return arrays.FeedForward(gate, self.linear(cell.down), up, activation, beta)

    def halves(self, m: arrays.Matrix) -> tuple[arrays.Matrix, arrays.Matrix]:
        """Return the matrices of the first and of the last half of the outputs."""
        if m.kind.startswith("inputs_first"):
            raise Unsupported
        half = m.outer // 2

        def part(rows: slice) -> arrays.Matrix:
            scale, bias = (None if each is None else each[rows] for each in (m.scale, m.bias))
            return arrays.Matrix(m.data[rows], m.kind, m.inner, half, scale, bias)

        return part(slice(half)), part(slice(half, None))

    def experts(self, cell: Any) -> arrays.Experts:
        """Return a mixture of experts."""
        if type(cell) is not MixtureOfExperts or cell.own != tuple(range(len(cell.experts))) or cell.gather is not None:
            raise Unsupported
        router = cell.router
        weight = self.array(router.weight)
        kind: arrays.MatrixKind = "f32" if router.outputs_first else "inputs_first"
        inner = weight.shape[1] if router.outputs_first else weight.shape[0]
        shared, gate, correction = cell.shared_expert, cell.shared_expert_gate, router.e_score_correction_bias
        return arrays.Experts(
            arrays.Matrix(weight, kind, inner, router.experts), tuple(map(self.feed, cell.experts)),
            router.chosen, normalized=router.normalize, sigmoid=router.sigmoid,
            correction=None if correction is None else self.array(correction), groups=router.groups,
            chosen_groups=router.chosen_groups, scale=router.scale,
            shared=None if shared is None else self.feed(shared),
            shared_gate=None if gate is None else self.linear(gate),
        )  # fmt: skip

    # Cells with weights ----------------------------------------------------------------------------------------------

    def linear(self, cell: Any) -> arrays.Matrix:
        """Return the weight of a linear layer."""
        if type(cell) is BlockLinear:
            return self.blocks(cell)
        if type(cell) not in (Linear, WeightOnlyLinear) or cell.dtype != mstype.float32:
            raise Unsupported
        bias = None if cell.bias is None else self.array(cell.bias)
        if type(cell) is WeightOnlyLinear:
            return self.narrow(cell, bias)
        if cell.enter is not None or cell.leave is not None or cell.by_compiler:
            raise Unsupported
        data, rounded = self.array(cell.weight), cell.compute_dtype == "bfloat16"
        kind: Any = ("f32" if cell.outputs_first else "inputs_first") + ("_rounded" if rounded else "")
        outer, inner = data.shape if cell.outputs_first else data.shape[::-1]
        return arrays.Matrix(data, kind, inner, outer, bias=bias)

    def embedding(self, cell: Any) -> arrays.Matrix:
        """Return an embedding as a matrix."""
        if type(cell) is BlockEmbedding:
            return self.blocks(cell)
        if type(cell) not in (Embedding, WeightOnlyEmbedding) or cell.dtype != mstype.float32:
            raise Unsupported
        if type(cell) is WeightOnlyEmbedding:
            return self.narrow(cell, None)
        data = self.table(cell)
        rounded = cell.compute_dtype == "bfloat16"
        return arrays.Matrix(data, "f32_rounded" if rounded else "f32", data.shape[1], data.shape[0])

    def table(self, cell: Any) -> np.ndarray:
        """Return the weight of an embedding."""
        if type(cell) is not Embedding or cell.enter is not None or cell.leave is not None or cell.by_compiler:
            raise Unsupported
        return self.array(cell.weight)

    def blocks(self, cell: BlockMatrix) -> arrays.Matrix:
        """Return a weight in the blocks of a GGUF file."""
        self.seen.add(id(cell.weight))
        bias = None if cell.bias is None else self.array(cell.bias)
        kind: Any = cell.kind
        return arrays.Matrix(cell.rows, kind, cell.inner, len(cell.rows), bias=bias)

    def narrow(self, cell: Any, bias: np.ndarray | None) -> arrays.Matrix:
        """Return a weight of less than 32 bits."""
        self.seen.add(id(cell.weight))
        data = cell.weight.asnumpy()
        kind: Any = "int8" if data.dtype == np.int8 else "bfloat16"
        return arrays.Matrix(data, kind, data.shape[1], data.shape[0], self.array(cell.scale), bias)

    def norm(self, cell: Any) -> arrays.Norm | None:
        """Return a norm; None where there is none."""
        if cell is None:
            return None
        if type(cell) not in (LayerNorm, RMSNorm) or cell.dtype != mstype.float32:
            raise Unsupported
        weight = self.array(cell.weight)
        if type(cell) is LayerNorm and not cell.by_compiler:
            bias = np.zeros_like(weight) if cell.bias is None else self.array(cell.bias)
            return arrays.Norm("layer", weight, cell.epsilon, bias)
        if type(cell) is not RMSNorm or cell.total is not None:
            raise Unsupported
        return arrays.Norm("rms", weight + np.float32(cell.offset) if cell.offset else weight, cell.epsilon)

    def array(self, parameter: Any) -> np.ndarray:
        """Return a parameter's values, and record it as read."""
        if parameter.dtype != mstype.float32:
            raise Unsupported
        self.seen.add(id(parameter))
        array: np.ndarray = parameter.asnumpy()
        return array
