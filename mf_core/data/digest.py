"""Digests of what a dataset contains, which differ if two datasets differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

#: Items that are read of an object that makes each on access.
_SAMPLES: Final = 256


def content_digest(examples: Any) -> str | None:
    """Return a digest of what a dataset contains, without reading more than is needed.

    Rows made of files go by the bytes of the files, packed rows by what they were packed from (nothing is read), lists
    and arrays by all their items. Of other objects with ``__len__`` and ``__getitem__``, whose items may be costly,
    the length and 256 items at even distances are read.

    Args:
        examples: What :func:`rows`, :func:`pack` or :func:`open_records` returned, or a sequence of examples: mappings,
            lists, arrays or tensors, strings, numbers.

    Returns:
        64 hexadecimal digits. None where content cannot be compared: streams, items of unknown types, and datasets
        that give another item each time (random augmentation).
    """
    own = getattr(examples, "digest", None)
    if callable(own):
        found: str | None = own()
        return found
    digest = hashlib.sha256(b"examples")
    return digest.hexdigest() if update_with_items(digest, examples) else None


def update_with_items(digest: Any, items: Any) -> bool:
    """Feed a sequence's items to a hash: all of a list or an array, a sample of others; False if it cannot be."""
    if isinstance(items, np.ndarray):
        return update_digest(digest, items)
    if not (hasattr(items, "__len__") and hasattr(items, "__getitem__")) or isinstance(items, Mapping):
        return False
    count = len(items)
    digest.update(f"{count} items ".encode())
    if isinstance(items, (list, tuple)):
        return all(update_digest(digest, item) for item in items)
    if not count:
        return True
    first, again = hashlib.sha256(), hashlib.sha256()
    if not (update_digest(first, items[0]) and update_digest(again, items[0])) or first.digest() != again.digest():
        return False
    return all(update_digest(digest, items[int(i)]) for i in np.linspace(0, count - 1, min(count, _SAMPLES)))


def update_digest(digest: Any, value: Any) -> bool:
    """Feed one value to a hash of ``hashlib``, so that different values feed different bytes.

    Whole numbers are the same in lists, arrays and tensors of every width.

    Returns:
        False if the value is of a type that is not known here.
    """
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        digest.update(f"s{len(data)} ".encode() + data)
    elif isinstance(value, (bytes, bytearray)):
        digest.update(f"b{len(value)} ".encode() + value)
    elif value is None or isinstance(value, (bool, int, float)):
        digest.update(f"{value!r} ".encode())
    elif isinstance(value, Mapping):
        digest.update(f"m{len(value)} ".encode())
        return all(update_digest(digest, part) for pair in value.items() for part in pair)
    elif isinstance(value, (list, tuple)) and not (value and all(type(item) is int for item in value)):
        digest.update(f"l{len(value)} ".encode())
        return all(update_digest(digest, item) for item in value)
    else:
        return _update_array(digest, value)
    return True


def _update_array(digest: Any, value: Any) -> bool:
    if not isinstance(value, (Sequence, np.ndarray, np.generic)) and not any(
        hasattr(value, name) for name in ("asnumpy", "__array__", "__array_interface__")
    ):
        return False
    try:
        array = np.asarray(value.asnumpy() if hasattr(value, "asnumpy") else value)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        return False
    if array.dtype.kind not in "biufcUS":
        return False
    whole = array.dtype.kind in "iu"
    digest.update(f"a{'i' if whole else array.dtype.str}{list(array.shape)} ".encode())
    for chunk in _chunks(array):
        digest.update(np.ascontiguousarray(chunk, np.int64 if whole else None).tobytes())
    return True


def _chunks(array: np.ndarray) -> Sequence[np.ndarray]:
    """Return an array in pieces along its first dimension, so that one mapped into memory is not copied whole."""
    return [array] if array.ndim == 0 or array.size < 1 << 20 else np.array_split(array, -(-array.size >> 20))
