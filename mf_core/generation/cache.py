"""Slots of tokens in a static key-value cache, and the attention bias over them; computed on the host, once per pass.

Each row of a batch has ``capacity`` slots, and its n-th token is in the n-th slot, so that a token's slot is its
position. The last slot takes the padding, and no token attends to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..nn.attention import MASKED
from .windowed_memory import SLACK

if TYPE_CHECKING:
    from ..models.layer_spec import AttentionSpec

#: Most tokens of a row in one pass: attention over a longer prompt needs memory for all pairs of tokens.
MAX_WIDTH = 512


def prompt_bucket(length: int) -> int:
    """Return the padded width of a pass over ``length`` prompt tokens: the next power of two, at least 8."""
    return max(8, 1 << (length - 1).bit_length())


def cache_bucket(length: int) -> int:
    """Return the capacity of a cache for ``length`` tokens and the padding slot: the next power of two, at least 64."""
    return max(64, 1 << length.bit_length())


def cache_nbytes(layers: Sequence[AttentionSpec], rows: int, tokens: int, *, windowed: bool) -> int:
    """Return how many bytes the fp32 cache of a decoder takes at most.

    Args:
        layers: The attention of each layer.
        rows: B.
        tokens: Of the longest row.
        windowed: Whether memory is taken as it is written, and windowed layers give back that of tokens that have left
            the window; else all slots are allocated at once.
    """
    total = 0
    for layer in layers:
        heads, key, value = layer.cache_shape
        slots = tokens if windowed else cache_bucket(tokens)
        if windowed and layer.window is not None and layer.latent is None:
            slots = min(slots, layer.window + 2 * SLACK + MAX_WIDTH)
        total += 4 * rows * heads * slots * (key + value)
    return total


def align_tokens(
    tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Align the new tokens of all rows for a pass, padded on the left, since a model returns the last tokens' logits.

    Args:
        tokens: At most ``width`` ids for each row; none for a row that this pass leaves unchanged.
        starts: Slot of each row's first new token.
        width: S.
        capacity: C.

    Returns:
        Ids, positions and slots, each ``(B, width)`` int32. The position of padding is 0.
    """
    shape = (len(tokens), width)
    ids, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    slots = np.full(shape, capacity - 1, np.int32)
    for row, (new, start) in enumerate(zip(tokens, starts, strict=True)):
        first = width - len(new)
        ids[row, first:] = new
        positions[row, first:] = slots[row, first:] = np.arange(start, start + len(new))
    return ids, positions, slots


def cache_bias(positions: np.ndarray, capacity: int) -> np.ndarray:
    """Return the bias for tokens at ``positions``, ``(B, S)``: each attends to its own slot and earlier ones.

    Returns:
        ``(B, 1, S, capacity)`` fp32: 0 where a token attends, a large negative number elsewhere.
    """
    visible = np.arange(capacity) <= positions[:, None, :, None]
    return np.where(visible, np.float32(0), np.float32(MASKED))


def cache_slots(slots: np.ndarray, heads: int, capacity: int) -> np.ndarray:
    """Return the indices of ``slots``, ``(B, S)``, in a flat cache of ``B * heads * capacity`` rows.

    Returns:
        ``(B * heads * S,)`` int32.
    """
    offsets = np.arange(len(slots) * heads, dtype=np.int32).reshape(-1, heads, 1) * capacity
    flat: np.ndarray = offsets + slots[:, None].astype(np.int32)
    return flat.reshape(-1)
