"""From logits to the next token: processors with the semantics of ``transformers``, and sampling. NumPy alone.

A processor is called as ``processor(history, logits)`` with the ids of each row so far, prompt included and padding
left out, and logits [batch, vocab] float32. It returns logits of the same shape and dtype, a forbidden token's being
-inf, and never writes to its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError

if TYPE_CHECKING:
    from .config import GenerationConfig

Logits = NDArray[np.float32]
History = Sequence[Sequence[int] | NDArray[np.integer[Any]]]
SeedLike = int | np.random.SeedSequence | np.random.Generator

_FORBIDDEN = np.float32(-np.inf)


class LogitsProcessor(Protocol):
    """Maps the logits [batch, vocab] of the next token, given each row's ids so far."""

    def __call__(self, history: History, logits: Logits) -> Logits: ...


@dataclass(frozen=True)
class RepetitionPenalty:
    """Divides positive logits of ids already in the row by ``penalty``, multiplies negative ones; once per id.

    Ids outside the vocabulary are ignored. ``RepetitionPenaltyLogitsProcessor``; Keskar et al. 2019, section 4.1.
    """

    penalty: float

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = logits.copy()
        for row, ids in zip(out, history, strict=True):
            seen = _in_vocabulary(ids, row.size)
            row[seen] = np.where(row[seen] < 0, row[seen] * self.penalty, row[seen] / self.penalty)
        return out


@dataclass(frozen=True)
class MinLength:
    """Forbids ``eos_ids`` in rows of fewer than ``min_length`` ids, prompt included. ``MinLengthLogitsProcessor``."""

    min_length: int
    eos_ids: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        return _forbid(logits, self.eos_ids, [len(ids) < self.min_length for ids in history])


@dataclass(frozen=True)
class MinNewTokens:
    """Forbids ``eos_ids`` in rows with fewer than ``min_new_tokens`` ids after the prompt.

    ``prompt_lengths`` has one entry for each row. ``MinNewTokensLengthLogitsProcessor``.
    """

    min_new_tokens: int
    eos_ids: tuple[int, ...]
    prompt_lengths: tuple[int, ...]

    def __call__(self, history: History, logits: Logits) -> Logits:
        new = (len(ids) - prompt for ids, prompt in zip(history, self.prompt_lengths, strict=True))
        return _forbid(logits, self.eos_ids, [count < self.min_new_tokens for count in new])


@dataclass(frozen=True)
class Temperature:
    """Divides the logits by ``temperature`` > 0. ``TemperatureLogitsWarper``."""

    temperature: float

    def __call__(self, history: History, logits: Logits) -> Logits:
        return np.divide(logits, self.temperature, dtype=logits.dtype)


@dataclass(frozen=True)
class TopK:
    """Keeps logits not below the ``k``-th largest, so all that tie with it. ``TopKLogitsWarper``; Fan et al. 2018."""

    k: int

    def __call__(self, history: History, logits: Logits) -> Logits:
        kth = max(logits.shape[-1] - self.k, 0)
        threshold = np.partition(logits, kth, axis=-1)[..., kth, None]
        return np.where(logits < threshold, _FORBIDDEN, logits)


@dataclass(frozen=True)
class TopP:
    """Keeps the nucleus: what is left when the least likely tokens, summing to at most ``1 - p``, are removed.

    Of tied tokens the lower ids are removed first (transformers leaves that open); the most likely token stays.
    ``TopPLogitsWarper``; Holtzman et al. 2020, section 3.1.
    """

    p: float

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = np.full_like(logits, _FORBIDDEN)
        for kept, row in zip(out, logits, strict=True):
            ids = self._nucleus(row)
            kept[ids] = row[ids]
        return out

    def _nucleus(self, row: Logits) -> NDArray[np.intp]:
        ids = np.flatnonzero(row != _FORBIDDEN)
        if ids.size == 0:
            return ids
        values = row[ids]
        with np.errstate(invalid="ignore"):  # inf - inf: the sampler reports such rows
            probs = np.exp(values - values.max())
        probs /= probs.sum()
        # n tokens of at most (1 - p) / n each sum to at most 1 - p: they all go, and need no sorting.
        tail = 1 - self.p
        tiny = probs <= 0.999 * tail / ids.size
        head = np.flatnonzero(~tiny)
        head = head[np.argsort(values[head], kind="stable")]
        # Accumulated in float64 and compared in float32, as torch does on CPU.
        mass = probs[tiny].sum(dtype=np.float64) + probs[head].cumsum(dtype=np.float64)
        removed = mass.astype(np.float32) <= np.float32(tail)
        removed[-1:] = False
        nucleus: NDArray[np.intp] = ids[head[~removed]]
        return nucleus


def build_processors(config: GenerationConfig, prompt_lengths: Sequence[int] | None = None) -> list[LogitsProcessor]:
    """Return the processors that ``config`` asks for, in the order of ``transformers``, without those that are off.

    Args:
        prompt_lengths: Ids in each row's prompt; needed for ``min_new_tokens``.
    """
    processors: list[LogitsProcessor] = []
    if config.repetition_penalty != 1.0:
        processors.append(RepetitionPenalty(config.repetition_penalty))
    if config.min_length > 0 and config.eos_ids:
        processors.append(MinLength(config.min_length, config.eos_ids))
    if config.min_new_tokens > 0 and config.eos_ids:
        if prompt_lengths is None:
            raise ArgumentError(f"min_new_tokens={config.min_new_tokens} needs prompt_lengths", value=prompt_lengths)
        processors.append(MinNewTokens(config.min_new_tokens, config.eos_ids, tuple(prompt_lengths)))
    if config.do_sample:
        if config.temperature != 1.0:
            processors.append(Temperature(config.temperature))
        if config.top_k > 0:
            processors.append(TopK(config.top_k))
        if config.top_p < 1.0:
            processors.append(TopP(config.top_p))
    return processors


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
        """Return a sampler that draws by the numbers that this one will draw by."""
        return deepcopy(self)

    def __call__(self, logits: Logits) -> NDArray[np.int64]:
        """Return ids [batch] for logits [batch, vocab]; never one whose logit is -inf.

        Raises:
            ArgumentError: A row has a NaN or +inf, or no finite logit.
        """
        peaks = logits.max(axis=-1)
        if not np.isfinite(peaks).all():
            _refuse(peaks)
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


def _in_vocabulary(ids: Sequence[int] | NDArray[np.integer[Any]], vocab: int) -> NDArray[np.int64]:
    array = np.asarray(ids, dtype=np.int64)
    return array[(array >= 0) & (array < vocab)]


def _forbid(logits: Logits, ids: tuple[int, ...], rows: list[bool]) -> Logits:
    """Return ``logits`` with ``ids`` at -inf in the rows marked True."""
    if not any(rows):
        return logits
    out = logits.copy()
    inside = [index for index in ids if 0 <= index < logits.shape[-1]]  # by Python: an id may be too large for NumPy
    for row in np.flatnonzero(rows):
        out[row, inside] = _FORBIDDEN
    return out


def _draw(row: Logits, peak: np.float32, stream: np.random.Generator) -> int:
    """Return an id drawn by inverse CDF, in float64."""
    ids = np.flatnonzero(row != _FORBIDDEN)
    cdf = np.exp(row[ids].astype(np.float64) - peak).cumsum()
    # Rounding can bring u * total up to the total itself, past the last token with any probability.
    point = min(stream.random() * cdf[-1], np.nextafter(cdf[-1], 0.0))
    return int(ids[np.searchsorted(cdf, point, side="right")])


def _refuse(peaks: Logits) -> None:
    """Raise for the first row whose largest logit is not finite."""
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
