"""From logits to the next token: what a processor is, and the sampler. NumPy alone.

A processor is called as ``processor(history, logits)`` with the ids of each row so far, prompt included and padding
left out, and logits [batch, vocab] float32. It returns logits of the same shape and dtype, a forbidden token's being
-inf, and never writes to its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError

Logits = NDArray[np.float32]
History = Sequence[Sequence[int] | NDArray[np.integer[Any]]]
SeedLike = int | np.random.SeedSequence | np.random.Generator

#: The logit of a token that cannot come.
FORBIDDEN = np.float32(-np.inf)


class LogitsProcessor(Protocol):
    """Maps the logits [batch, vocab] of the next token, given each row's ids so far."""

    def __call__(self, history: History, logits: Logits) -> Logits: ...


class Sampler:
    """Picks one id for each row of processed logits: the first largest, or a draw.

    Each row has its own stream of random numbers and takes one number of it per call, so what a row draws does not
    depend on the rows beside it.

    Args:
        do_sample: Draw; False takes the largest logit and uses no seed.
        seeds: One for each row; None is seeded by the system. Equal seeds give equal streams: for several draws from
            one prompt give ``SeedSequence(seed, spawn_key=(i,))``.
    """

    def __init__(self, do_sample: bool, seeds: Sequence[SeedLike | None]) -> None:
        self.do_sample = do_sample
        self._streams = [np.random.default_rng(seed) for seed in seeds] if do_sample else []

    def ahead(self) -> Sampler:
        """Return a sampler with the same upcoming random numbers."""
        return deepcopy(self)

    def __call__(self, logits: Logits) -> NDArray[np.int64]:
        """Return ids [batch] for logits [batch, vocab]; never one whose logit is -inf.

        Raises:
            ArgumentError: A row has a NaN or +inf, or no finite logit.
        """
        peaks = check_finite(logits)
        if not self.do_sample:
            return np.asarray(logits.argmax(axis=-1), dtype=np.int64)
        if len(logits) != len(self._streams):
            raise ArgumentError(f"{len(logits)} rows of logits for {len(self._streams)} seeds", value=len(logits))
        rows = zip(logits, peaks, self._streams, strict=True)
        return np.array([_draw(row, peak, stream) for row, peak, stream in rows], dtype=np.int64)


def log_softmax(logits: Logits) -> Logits:
    """Return the log-probabilities along the last axis; -inf stays -inf. Each row needs a finite logit."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.asarray(shifted - np.log(total), dtype=logits.dtype)


def softmax(logits: Logits) -> Logits:
    """Return the probabilities along the last axis. Each row needs a finite logit."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True), dtype=logits.dtype)


def in_vocabulary(ids: Sequence[int] | NDArray[np.integer[Any]], vocab: int) -> NDArray[np.int64]:
    """Return those of ``ids`` that a vocabulary of ``vocab`` entries has."""
    array = np.asarray(ids, dtype=np.int64)
    return array[(array >= 0) & (array < vocab)]


def _draw(row: Logits, peak: np.float32, stream: np.random.Generator) -> int:
    """Return an id drawn by inverse CDF, in float64."""
    ids = np.flatnonzero(row != FORBIDDEN)
    cdf = np.exp(row[ids].astype(np.float64) - peak).cumsum()
    # Rounding can bring u * total up to the total itself, past the last token with any probability.
    point = min(stream.random() * cdf[-1], np.nextafter(cdf[-1], 0.0))
    return int(ids[np.searchsorted(cdf, point, side="right")])


def check_finite(logits: Logits) -> Logits:
    """Return each row's largest logit; raise ArgumentError for the first row in which it is not finite."""
    peaks: Logits = logits.max(axis=-1)
    if np.isfinite(peaks).all():
        return peaks
    row = int(np.flatnonzero(~np.isfinite(peaks))[0])
    peak = float(peaks[row])
    if peak == -np.inf:
        raise ArgumentError(
            f"row {row} has no token left to choose: every logit is -inf",
            value=peak,
            why="the logits processors forbid the whole vocabulary, or the model returned -inf",
        )
    raise ArgumentError(
        f"the model returned {'NaN' if np.isnan(peak) else 'infinite'} logits (row {row})",
        value=peak,
        why="its arithmetic overflowed, or the weights are damaged",
        hint="compute_dtype='float32'",
    )
