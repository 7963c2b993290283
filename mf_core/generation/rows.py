"""A batch over a model's cache, whose rows start and end independently."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..backends.base import get_backend
from ..backends.runtime import exclusive
from ..errors import OutOfMemoryError
from .cache import MAX_WIDTH, cache_bucket, prompt_bucket
from .sequences import shared_length
from .steps import SourceStep, Step, give_back, take_step

if TYPE_CHECKING:
    from types import TracebackType

    from ..models.base import PretrainedModel

logger = logging.getLogger("mf_core")


class CachedRows:
    """Rows of tokens whose keys and values are in a model's cache; a context manager.

    The cache grows as the rows do.

    Args:
        model: The model to run.
        count: Rows, B.

    Attributes:
        cached: The ids of each row that are in the cache. Removing ids from its end truncates a row.
        sources: What each row answers to, where the model has an encoder.
    """

    def __init__(self, model: PretrainedModel, count: int) -> None:
        self.model = model
        self.cached: list[list[int]] = [[] for _ in range(count)]
        self.sources: list[tuple[int, ...]] = [()] * count
        self._is_long: list[bool | None] = [False] * count
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
    def max_length(self) -> int:
        """The longest row that fits without growing the cache."""
        return 0 if self._step is None else self._step.capacity - 1

    def keep_prefix(self, row: int, ids: Sequence[int]) -> list[int]:
        """Truncate a row to what it shares with a prompt; return the rest of the prompt, its last token at least."""
        cached = self.cached[row]
        long_from = self.model.long_from
        shared = min(shared_length(cached, ids), len(ids) - 1)
        reusable = not long_from or self._is_long[row] == (len(ids) > long_from)
        del cached[shared if reusable and self._has_windows(row, shared) else 0 :]
        return list(ids[len(cached) :])

    def read(self, sources: Mapping[int, Sequence[int]]) -> None:
        """Have the encoder read what rows answer to; a row with another source than before is emptied.

        Args:
            sources: Row -> ids; empty for a model without an encoder, for which nothing is done.
        """
        new = {row: tuple(ids) for row, ids in sources.items() if ids and tuple(ids) != self.sources[row]}
        if not new:
            return
        for row, ids in new.items():
            self.sources[row], self._is_long[row] = ids, False
            self.cached[row].clear()
        self.reserve(1)
        assert isinstance(self._step, SourceStep)
        self._step.read(new)

    def put(self, tokens: Sequence[Sequence[int]], kept: int = 1) -> np.ndarray:
        """Add tokens to the rows, in passes of bounded width.

        A row is computed again where its rotary positions change as it becomes long (LongRoPE), if the model does so,
        and where it has been truncated by more than windowed layers have memory of.

        Args:
            tokens: Ids for each row; none leaves a row unchanged.
            kept: Number of last tokens to return logits for; more than 1 only for models that support it.

        Returns:
            The logits, ``(B, kept, V)`` fp32, the last token's last; undefined where a row has fewer tokens.
        """
        is_long = None
        tokens = [
            new if not new or self._has_windows(row, len(ids)) else self._restart(row, new)
            for row, (ids, new) in enumerate(zip(self.cached, tokens, strict=True))
        ]
        if self.model.long_from:
            tokens, is_long = self._lengthen(tokens)
        longest = max(map(len, tokens))
        self.reserve(max(len(ids) + len(new) for ids, new in zip(self.cached, tokens, strict=True)))
        for left in range((longest - 1) // MAX_WIDTH * MAX_WIDTH, 0, -MAX_WIDTH):
            part = [new[max(0, len(new) - left - MAX_WIDTH) : max(0, len(new) - left)] for new in tokens]
            self._pass(part, 1, is_long)
        return self._pass([new[-MAX_WIDTH:] for new in tokens], kept, is_long)

    def reserve(self, length: int) -> None:
        """Grow the cache to at least ``length`` tokens and to the sources, with its content.

        Raises:
            OutOfMemoryError: It takes more than the device has.
        """
        longest = max(map(len, self.sources))
        source = prompt_bucket(longest) if longest else 0
        step = self._step
        if isinstance(step, SourceStep):
            source = max(source, step.source)
        if length <= self.max_length and (not isinstance(step, SourceStep) or source == step.source):
            return
        self._say_size(length)
        with exclusive():
            capacity = cache_bucket(max(length, self.max_length))
            self._step = take_step(self.model, len(self.cached), capacity, source)
            if step is not None:
                kept = [row for row, ids in enumerate(self.cached) if ids or self.sources[row]]
                if kept:
                    self._step.copy(step, {row: row for row in kept}, [len(self.cached[row]) for row in kept])  # type: ignore[arg-type]
                give_back(step)

    def _say_size(self, length: int) -> None:
        """Log how much memory the cache takes, where the model says; raise where the device has less."""
        count = len(self.cached)
        size = self.model.cache_nbytes(self.model.config, count, min(cache_bucket(length), self.model.max_positions))
        if not size:
            return
        texts = "one text" if count == 1 else f"{count} texts"
        logger.info("the cache of %s of up to %d tokens takes up to %.3g GB", texts, length, size / 1e9)
        most = get_backend().memory_total()
        if most is not None and size > most:
            raise OutOfMemoryError(
                f"the cache of {texts} of {length} tokens takes {size / 1e9:.3g} GB; the device has "
                f"{most / 1e9:.3g} GB", value=size, hint="fewer texts at a time (batch_size), or shorter ones",
            )  # fmt: skip

    def take(self, row: int, source: CachedRows) -> None:
        """Replace a row by a copy of another batch's first row."""
        ids, self.sources[row] = source.cached[0], source.sources[0]
        self.reserve(len(ids))
        assert self._step is not None and source._step is not None
        self._step.copy(source._step, {0: row}, [len(ids)])  # type: ignore[arg-type]
        self.cached[row], self._is_long[row] = list(ids), source._is_long[0]

    def reorder(self, parents: Sequence[int]) -> None:
        """Replace each row by a copy of the row ``parents`` names.

        Only the tokens after the common prefix are copied.
        """
        moved = [(parent, row) for row, parent in enumerate(parents) if self.cached[row] != self.cached[parent]]
        if not moved:
            return
        assert self._step is not None
        spans = []
        for parent, row in moved:
            shared = shared_length(self.cached[parent], self.cached[row])
            spans.append((shared, len(self.cached[parent])))
        self._step.copy_rows(moved, spans)
        before, are_long = [list(ids) for ids in self.cached], list(self._is_long)
        for parent, row in moved:
            self.cached[row], self._is_long[row] = list(before[parent]), are_long[parent]

    def _has_windows(self, row: int, length: int) -> bool:
        """Return whether windowed layers have what tokens after the first ``length`` of a row attend to."""
        return length == 0 or self._step is None or length >= self._step.least_start(row)

    def _restart(self, row: int, new: Sequence[int]) -> list[int]:
        """Empty a row, and return its tokens with those that follow."""
        tokens = [*self.cached[row], *new]
        self.cached[row].clear()
        return tokens

    def _lengthen(self, tokens: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], list[bool]]:
        """Return the tokens to compute, and which rows have the rotary positions of long texts with them."""
        found, long_from = [], self.model.long_from
        is_long = [len(ids) + len(new) > long_from for ids, new in zip(self.cached, tokens, strict=True)]
        for row, (ids, new) in enumerate(zip(self.cached, tokens, strict=True)):
            if new and ids and self._is_long[row] != is_long[row]:
                self._is_long[row] = None  # some of its tokens have the positions of short texts, others of long ones
                if self.model.recomputes_long:
                    new = self._restart(row, new)
            if new and not ids:
                self._is_long[row] = is_long[row]
            found.append(new)
        return found, is_long

    def _pass(self, tokens: Sequence[Sequence[int]], kept: int, is_long: Sequence[bool] | None) -> np.ndarray:
        assert self._step is not None
        width = self._step.width(max(map(len, tokens)), kept)
        starts = [len(ids) for ids in self.cached]
        more = () if is_long is None else (is_long,)
        logits = self._step.put(tokens, starts, width, kept, *more)
        for ids, new in zip(self.cached, tokens, strict=True):
            ids += new
        return logits
