"""A batch over a model's cache, in which each row has its own place and comes and goes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..backends.runtime import exclusive
from .cache import cache_bucket
from .sequences import shared_length
from .steps import Step, give_back, take_step

if TYPE_CHECKING:
    from types import TracebackType

    from ..models.base import PretrainedModel

#: Most tokens of a row that one pass takes: attention over a longer prompt would need memory for all its pairs.
MAX_WIDTH = 512


class CachedRows:
    """Rows of tokens whose keys and values a model has in its cache; to be used in a ``with`` statement.

    The cache grows as the rows do.

    Args:
        model: Whose ``decode`` is called.
        count: Rows, B.

    Attributes:
        held: The ids that each row has in the cache. A row may be cut by taking ids off its end.
    """

    def __init__(self, model: PretrainedModel, count: int) -> None:
        self.model = model
        self.held: list[list[int]] = [[] for _ in range(count)]
        self._step: Step | None = None

    def __enter__(self) -> CachedRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with exclusive():
            if self._step is not None:
                give_back(self._step)
                self._step = None

    @property
    def room(self) -> int:
        """The longest that a row may be before the cache grows."""
        return 0 if self._step is None else self._step.capacity - 1

    def put(self, tokens: Sequence[Sequence[int]], kept: int = 1) -> np.ndarray:
        """Add tokens to the rows, in passes of bounded width.

        Args:
            tokens: Ids for each row; none leaves it as it is.
            kept: Number of last tokens whose logits are wanted; more than 1 is for models that can give them.

        Returns:
            The logits, ``(B, kept, V)`` fp32, the last token's last; where a row has fewer, the first mean nothing.
        """
        longest = max(map(len, tokens))
        self.reserve(max(len(held) + len(new) for held, new in zip(self.held, tokens, strict=True)))
        for left in range((longest - 1) // MAX_WIDTH * MAX_WIDTH, 0, -MAX_WIDTH):
            self._pass([new[max(0, len(new) - left - MAX_WIDTH) : max(0, len(new) - left)] for new in tokens], 1)
        return self._pass([new[-MAX_WIDTH:] for new in tokens], kept)

    def reserve(self, length: int) -> None:
        """Make the cache at least so long, keeping what it has."""
        if length <= self.room:
            return
        with exclusive():
            step = self._step
            self._step = take_step(self.model, len(self.held), cache_bucket(length))
            if step is not None:
                kept = [row for row, held in enumerate(self.held) if held]
                if kept:
                    self._step.copy(step, {row: row for row in kept}, [len(self.held[row]) for row in kept])  # type: ignore[arg-type]
                give_back(step)

    def take(self, row: int, source: CachedRows) -> None:
        """Make a row the copy of another batch's first."""
        ids = source.held[0]
        self.reserve(len(ids))
        assert self._step is not None and source._step is not None
        self._step.copy(source._step, {0: row}, [len(ids)])  # type: ignore[arg-type]
        self.held[row] = list(ids)

    def reorder(self, parents: Sequence[int]) -> None:
        """Make each row the copy of another, which is given by its number.

        Only what two rows have not in common is copied.
        """
        moved = [(parent, row) for row, parent in enumerate(parents) if self.held[row] != self.held[parent]]
        if not moved:
            return
        assert self._step is not None
        spans = []
        for parent, row in moved:
            shared = shared_length(self.held[parent], self.held[row])
            spans.append((shared, len(self.held[parent])))
        self._step.copy_rows(moved, spans)
        held = [list(ids) for ids in self.held]
        for parent, row in moved:
            self.held[row] = list(held[parent])

    def _pass(self, tokens: Sequence[Sequence[int]], kept: int) -> np.ndarray:
        assert self._step is not None
        width = self._step.width(max(map(len, tokens)), kept)
        logits = self._step.put(tokens, [len(held) for held in self.held], width, kept)
        for held, new in zip(self.held, tokens, strict=True):
            held += new
        return logits
