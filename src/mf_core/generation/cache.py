"""Where tokens go in a static key-value cache, and what of it they may see; made on the host, once a step."""

from __future__ import annotations

import numpy as np

from ..nn.attention import MASKED


def cache_bias(cache_mask: np.ndarray, write_index: int, length: int) -> np.ndarray:
    """Return the bias for tokens at places ``write_index … write_index + length - 1`` of a cache.

    Args:
        cache_mask: ``(B, C)``, 1 at places that hold, or will hold, a token and not padding.
        write_index: Place of the first.
        length: S.

    Returns:
        ``(B, 1, length, C)`` fp32: 0 where a token may look, a large negative number elsewhere.
    """
    places = np.arange(cache_mask.shape[1])
    visible = (places <= write_index + np.arange(length)[:, None]) & (cache_mask[:, None, None] != 0)
    return np.where(visible, np.float32(0), np.float32(MASKED))


def cache_slots(rows: int, capacity: int, write_index: int, length: int) -> np.ndarray:
    """Return where ``rows`` (B * H) rows of ``length`` tokens go in a flat cache of ``rows * capacity`` places.

    Returns:
        ``(rows * length,)`` int32.
    """
    places = np.arange(rows)[:, None] * capacity + write_index + np.arange(length)
    return places.reshape(-1).astype(np.int32)
