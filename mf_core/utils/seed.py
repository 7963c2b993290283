"""Setting every random generator at once, when asked to."""

from __future__ import annotations

from ..boundary import public
from ..errors import ArgumentError


@public
def set_seed(seed: int) -> None:
    """Seed Python's, numpy's and, where it is imported already or installed, MindSpore's global generators.

    Args:
        seed: A whole number from 0 to 2**32 - 1.

    Raises:
        ArgumentError: The seed is out of range.
    """
    import random

    import numpy as np

    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ArgumentError(f"seed={seed!r} is not a whole number from 0 to {2**32 - 1}", value=seed)
    random.seed(seed)
    np.random.seed(seed)
    try:
        import mindspore
    except ImportError:
        return
    mindspore.set_seed(seed)
