"""Datasets of ``mindspore.dataset``, which batch and shuffle by themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: MindSpore's settings, and the trees of its datasets, are changed for moments only, by one thread at a time.
_lock = threading.RLock()


def is_dataset(given: Any) -> bool:
    """Return whether ``given`` is a dataset of MindSpore's."""
    return hasattr(given, "create_dict_iterator")


def size_of(dataset: Any) -> int:
    """Return the number of batches, or of records where there are no batches; -1 where that is not known."""
    with _lock, _consumed_alone(dataset):
        return int(dataset.get_dataset_size())


def shards_of(dataset: Any) -> int:
    """Return how many shards the dataset's sources are read in, of which it gives one; 1 where it gives everything."""
    counts = [1]
    pending = [dataset]
    while pending:
        node = pending.pop()
        pending.extend(getattr(node, "children", ()))
        for holder in (node, getattr(node, "sampler", None)):
            counts.append(getattr(holder, "num_shards", None) or 1)
    return max(counts)


def iterate(dataset: Any, seed: int | None = None) -> Iterator[dict[str, Any]]:
    """Begin a pass, and return its records as dicts of numpy arrays.

    Args:
        dataset: A dataset, of which others may consume the same sources.
        seed: What it shuffles by; None: MindSpore's own setting, by which every pass has the same order.
    """
    from mindspore.dataset import config

    with _lock, _consumed_alone(dataset):
        before = config.get_seed()
        if seed is not None:
            config.set_seed(seed % 2**32)
        try:
            records = iter(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
            first = next(records, None)  # the seed is read when the first record is asked for
        finally:
            config.set_seed(before)
    if first is not None:
        yield first
        yield from records


@contextmanager
def _consumed_alone(dataset: Any) -> Iterator[None]:
    """Within the block, the dataset's sources have it as their only consumer.

    MindSpore refuses a source of two datasets (``source.batch(4)`` twice), though each of them is fine by itself.
    """
    changed = []
    pending = [dataset]
    while pending:
        node = pending.pop()
        for child in getattr(node, "children", ()):
            pending.append(child)
            if len(child.parent) > 1:
                changed.append((child, child.parent))
                child.parent = [parent for parent in child.parent if _same(parent, node)]
    try:
        yield
    finally:
        for child, parents in changed:
            child.parent = parents


def _same(parent: Any, node: Any) -> bool:
    return parent is node or (callable(parent) and parent() is node)  # some versions hold weak references
