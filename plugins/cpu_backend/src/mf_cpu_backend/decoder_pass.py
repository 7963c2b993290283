"""A whole pass of a decoder as one call of the native library, without a graph."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np

from mf_core.nn.decoder_pass import Decoder

from . import decoder_structs as structs
from .kernels import library


@lru_cache
def _library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library()[1]))
    loaded.mf_decoder_pass.argtypes = (ctypes.POINTER(structs.DecoderStruct), ctypes.POINTER(structs.PassStruct))
    loaded.mf_embed.argtypes = (
        ctypes.POINTER(structs.MatrixStruct), ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
    )  # fmt: skip
    return loaded


class DecoderPass:
    """A decoder that is ready to run; see the kernel ``decoder_pass`` in :mod:`mf_core.nn.kernels`.

    Args:
        spec: The model. Its arrays must stay where they are for as long as this is used.
    """

    def __init__(self, spec: Decoder) -> None:
        self.spec, self.width = spec, spec.embedding.inner
        self._layers = (structs.LayerStruct * len(spec.layers))(
            *(structs.layer(layer, self.width) for layer in spec.layers)
        )
        self._embedding = structs.matrix(spec.embedding)
        self._decoder = structs.decoder(spec, self._layers)
        self._native = _library()

    def __call__(
        self, ids: np.ndarray, positions: np.ndarray, slots: np.ndarray, keys: list[np.ndarray],
        values: list[np.ndarray], capacity: int, kept: int, is_long: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the logits ``(B, kept, V)`` fp32 of the last tokens; write to the cache.

        Args:
            ids, positions, slots: ``(B, S)`` int32; a slot is where in its row of the cache a token goes.
            keys, values: ``(B, G, C, D)`` fp32 of each layer.
            capacity: C.
            kept: How many last tokens' logits are returned.
            is_long: ``(B,)`` bool: rows whose text has the rotary positions of long ones; None: those that have such a
                position in this pass.
        """
        batch, length = ids.shape
        x = self._embed(ids, positions)
        kept_inputs = []  # alive until the call has ended
        for struct, spec, key, value in zip(self._layers, self.spec.layers, keys, values, strict=True):
            struct.keys, struct.values = key.ctypes.data, value.ctypes.data
            if spec.queries is not None:
                asked = np.ascontiguousarray(spec.queries[positions[:, -kept:]], np.float32)
                struct.query_input, struct.queries = asked.ctypes.data, kept
                kept_inputs.append(asked)
        logits = np.empty((batch, kept, self.spec.head.outer), np.float32)
        rotary = positions
        if self.spec.long_from > 0:  # each row by its own length, so that it gives what it gives alone
            is_long = positions.max(1) >= self.spec.long_from if is_long is None else is_long
            rotary = np.where(is_long[:, None], positions + np.int32(self.spec.long_offset), positions)
        given = structs.PassStruct(
            x.ctypes.data, *(structs.address(each, np.int32, batch, length) for each in (positions, slots, rotary)),
            logits.ctypes.data, batch, length, capacity, kept,
        )  # fmt: skip
        if self._native.mf_decoder_pass(self._decoder, given):
            raise IndexError("a position or a slot of a token is out of range")
        return logits

    def _embed(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        spec = self.spec
        x = np.empty((*ids.shape, self.width), np.float32)
        if self._native.mf_embed(self._embedding, structs.address(ids, np.int32, *ids.shape), ids.size, x.ctypes.data):
            raise IndexError("a token is out of the vocabulary")
        if spec.embedding_scale != 1:
            x *= np.float32(spec.embedding_scale)
        if spec.positions is not None:
            x += spec.positions[positions]
        if spec.embedding_norm is not None:
            norm = spec.embedding_norm
            if norm.kind == "layer":
                x -= x.mean(-1, keepdims=True)
            x *= norm.weight / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(norm.epsilon))
            if norm.bias is not None:
                x += norm.bias
        return x
