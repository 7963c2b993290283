"""Biases of attention scores by the distance of query and key (Raffel et al., 2020, section 2.1).

Shapes: B batch, H heads, S queries, T keys.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..nn import parameter
from .seq2seq_spec import RelativeSpec


def bucket_of(distances: np.ndarray, spec: RelativeSpec) -> np.ndarray:
    """Return the row of the table for each distance, the key's position minus the query's: int32 of the same shape."""
    buckets, first = spec.buckets, np.zeros(distances.shape, np.int32)
    if spec.both_directions:
        buckets //= 2
        first = np.where(distances > 0, np.int32(buckets), np.int32(0))
        far = np.abs(distances)
    else:
        far = np.maximum(-distances, 0)
    single = buckets // 2
    growth = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(single)) / np.float32(
        np.log(spec.distance / single)
    )
    ranges = single + (growth * np.float32(buckets - single)).astype(np.int32)
    rows: np.ndarray = first + np.where(far < single, far, np.minimum(ranges, buckets - 1)).astype(np.int32)
    return rows


class RelativeBias(nn.Cell):
    """Adds learned biases by distance to the bias of a mask.

    Args:
        spec: The declaration.
        heads: H.
        std: Standard deviation of initial weights.
        param_dtype: Type of the parameter ``weight``, ``(buckets, H)``.
    """

    def __init__(self, spec: RelativeSpec, heads: int, *, std: float = 0.02, param_dtype: str = "float32") -> None:
        super().__init__()
        self.weight = parameter((spec.buckets, heads), ("normal", std), param_dtype)
        self.heads, self.distance = heads, spec.distance
        buckets = bucket_of(np.arange(-spec.distance, spec.distance + 1), spec)
        # Indices of the flat weight: for each head, one for each distance.
        self.entries = Tensor((buckets[None] * heads + np.arange(heads)[:, None]).reshape(-1).astype(np.int32))
        self.starts = Tensor((np.arange(heads) * len(buckets) + spec.distance).reshape((1, -1, 1, 1)).astype(np.int32))

    def construct(self, bias: Tensor, position_ids: Tensor) -> Tensor:
        """Return ``(B or 1, H, S, T)`` fp32.

        Args:
            bias: ``(B or 1, 1, S, T)``: 0 where a query may attend.
            position_ids: ``(B or 1, S)`` int32: the queries' positions; keys are at positions 0 to T - 1.
        """
        rows, length, keys = position_ids.shape[0], bias.shape[2], bias.shape[3]
        shape = (rows, self.heads, length, keys)
        by_distance = ops.gather(ops.cast(self.weight, mstype.float32).reshape((-1,)), self.entries, 0)
        key = ops.broadcast_to(ops.cast(ops.arange(keys), mstype.int32).reshape((1, 1, 1, -1)), shape)
        query = ops.broadcast_to(ops.cast(position_ids, mstype.int32).reshape((rows, 1, length, 1)), shape)
        apart = ops.clamp(key - query, -self.distance, self.distance)
        added = ops.gather(by_distance, apart + ops.broadcast_to(self.starts, shape), 0)
        whole = (max(rows, bias.shape[0]), self.heads, length, keys)
        return ops.broadcast_to(added, whole) + ops.broadcast_to(bias, whole)
