"""Where tokens go in a static key-value cache, and what of it they may see; made on the host, once a pass.

Each row of a batch has its own ``capacity`` places, and its n-th token stands in the n-th of them, so that a token's
place is its position. The last place is nobody's: padding goes there, and nothing looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nn.attention import MASKED


def prompt_bucket(length: int) -> int:
    """Return the width that a pass over so many tokens of a prompt has: the next power of two from 8 on."""
    return max(8, 1 << (length - 1).bit_length())


def cache_bucket(length: int) -> int:
    """Return the places of a cache for ``length`` tokens and the one for padding: the next power of two from 64 on."""
    return max(64, 1 << length.bit_length())


def place_tokens(
    tokens: Sequence[Sequence[int]], starts: Sequence[int], width: int, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay out tokens for a pass, padded on the left: a model gives the logits of the last ones.

    Args:
        tokens: At most ``width`` ids for each row; none for a row that is only there.
        starts: Place of each row's first.
        width: S.
        capacity: C.

    Returns:
        Ids, positions and places, each ``(B, width)`` int32. The position of padding is 0.
    """
    shape = (len(tokens), width)
    ids, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    places = np.full(shape, capacity - 1, np.int32)
    for row, (new, start) in enumerate(zip(tokens, starts, strict=True)):
        first = width - len(new)
        ids[row, first:] = new
        positions[row, first:] = places[row, first:] = np.arange(start, start + len(new))
    return ids, positions, places


def cache_bias(positions: np.ndarray, capacity: int) -> np.ndarray:
    """Return the bias for tokens at ``positions``, ``(B, S)``: each sees its own place and those before it.

    Returns:
        ``(B, 1, S, capacity)`` fp32: 0 where a token may look, a large negative number elsewhere.
    """
    visible = np.arange(capacity) <= positions[:, None, :, None]
    return np.where(visible, np.float32(0), np.float32(MASKED))


def cache_slots(places: np.ndarray, heads: int, capacity: int) -> np.ndarray:
    """Return where tokens for ``places``, ``(B, S)``, go in a flat cache of ``B * heads * capacity`` places.

    Returns:
        ``(B * heads * S,)`` int32.
    """
    firsts = np.arange(len(places) * heads, dtype=np.int32).reshape(-1, heads, 1) * capacity
    slots: np.ndarray = firsts + places[:, None].astype(np.int32)
    return slots.reshape(-1)
