"""Options that shape the distribution before a draw: temperature, and which tokens stay in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .logits import FORBIDDEN, History, Logits, log_softmax, softmax
from .options import GREEDY, Build, Options, option


class Truncation(Options):
    """Options of sampling. Processors keep at least one token, and with beams one more than there are end ids."""

    temperature: float = option(
        1.0, "Divides the logits; less than 1 sharpens the distribution.", sampling=True, hint=GREEDY, ge=1e-30, le=1e30
    )
    top_k: int = option(0, "Keep the k most likely tokens; 0 is off.", sampling=True, ge=0)
    top_p: float = option(
        1.0, "Keep the smallest set of likely tokens whose probabilities reach top_p; 1 is off.", sampling=True,
        hint=GREEDY, gt=0, le=1,
    )  # fmt: skip
    min_p: float | None = option(
        None, "Keep tokens at least min_p times as likely as the likeliest.", sampling=True, ge=0, le=1
    )
    typical_p: float = option(
        1.0, "Keep the tokens whose information is closest to the distribution's entropy, up to this mass; 1 is off.",
        sampling=True, gt=0, le=1,
    )  # fmt: skip
    epsilon_cutoff: float = option(
        0.0, "Keep tokens of at least this probability; 0 is off.", sampling=True, ge=0, lt=1
    )
    eta_cutoff: float = option(
        0.0, "Keep tokens of at least this probability, or less where the distribution is flat; 0 is off.",
        sampling=True, ge=0, lt=1,
    )  # fmt: skip
    renormalize_logits: bool = option(False, "Hand on log-probabilities that sum to 1 after all else.")

    sampling_processors: ClassVar[Sequence[Build]] = (
        lambda c, rows: Temperature(c.temperature) if c.do_sample and c.temperature != 1 else None,
        lambda c, rows: TopK(max(c.top_k, rows.least)) if c.do_sample and c.top_k > 0 else None,
        lambda c, rows: TopP(c.top_p, rows.least) if c.do_sample and c.top_p < 1 else None,
        lambda c, rows: MinP(c.min_p, rows.least) if c.do_sample and c.min_p is not None else None,
        lambda c, rows: TypicalP(c.typical_p, rows.least) if c.do_sample and c.typical_p < 1 else None,
        lambda c, rows: EpsilonCutoff(c.epsilon_cutoff, rows.least) if c.do_sample and c.epsilon_cutoff > 0 else None,
        lambda c, rows: EtaCutoff(c.eta_cutoff, rows.least) if c.do_sample and c.eta_cutoff > 0 else None,
        lambda c, rows: Renormalize() if c.renormalize_logits else None,
    )


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
        return np.where(logits < threshold, FORBIDDEN, logits)


@dataclass(frozen=True)
class TopP:
    """Keeps the nucleus: what is left when the least likely tokens, summing to at most ``1 - p``, are removed.

    Of tied tokens the lower ids are removed first (transformers leaves that open); the ``least`` most likely stay.
    ``TopPLogitsWarper``; Holtzman et al. 2020, section 3.1.
    """

    p: float
    least: int = 1

    def __call__(self, history: History, logits: Logits) -> Logits:
        out = np.full_like(logits, FORBIDDEN)
        for kept, row in zip(out, logits, strict=True):
            ids = self._nucleus(row)
            kept[ids] = row[ids]
        return out

    def _nucleus(self, row: Logits) -> NDArray[np.intp]:
        ids = np.flatnonzero(row != FORBIDDEN)
        if ids.size == 0:
            return ids
        values = row[ids]
        with np.errstate(invalid="ignore"):  # inf - inf: the sampler reports such rows
            probs = np.exp(values - values.max())
        probs /= probs.sum()
        # n tokens of at most (1 - p) / n each sum to at most 1 - p: they all go, and need no sorting.
        tail = 1 - self.p
        tiny = probs <= 0.999 * tail / ids.size
        if self.least > 1 and ids.size - np.count_nonzero(tiny) < self.least:
            tiny[:] = False
        head = np.flatnonzero(~tiny)
        head = head[np.argsort(values[head], kind="stable")]
        # Accumulated in float64 and compared in float32, as torch does on CPU.
        mass = probs[tiny].sum(dtype=np.float64) + probs[head].cumsum(dtype=np.float64)
        removed = mass.astype(np.float32) <= np.float32(tail)
        removed[-self.least :] = False
        nucleus: NDArray[np.intp] = ids[head[~removed]]
        return nucleus


@dataclass(frozen=True)
class MinP:
    """Keeps tokens of at least ``p`` times the likeliest's probability. ``MinPLogitsWarper``; Nguyen et al. 2024."""

    p: float
    least: int = 1

    def __call__(self, history: History, logits: Logits) -> Logits:
        probs = softmax(logits)
        return _remove(logits, probs < np.float32(self.p) * probs.max(axis=-1, keepdims=True), self.least)


@dataclass(frozen=True)
class TypicalP:
    """Keeps the tokens whose surprise is closest to the entropy, until they reach ``mass``.

    ``TypicalLogitsWarper``; Meister et al. 2022, section 4.
    """

    mass: float
    least: int = 1

    def __call__(self, history: History, logits: Logits) -> Logits:
        log_probs = log_softmax(logits)
        probs = np.exp(log_probs)
        with np.errstate(invalid="ignore"):  # 0 times -inf, which counts for nothing
            entropy = -np.nansum(log_probs * probs, axis=-1, keepdims=True)
        distance = np.abs(-log_probs - entropy)
        order = np.argsort(distance, axis=-1, kind="stable")
        ordered = np.take_along_axis(distance, order, axis=-1)
        reached = np.take_along_axis(probs, order, axis=-1).cumsum(axis=-1, dtype=np.float64).astype(np.float32)
        last = np.minimum((reached < np.float32(self.mass)).sum(axis=-1), logits.shape[-1] - 1)
        beyond = ordered > np.take_along_axis(ordered, last[:, None], axis=-1)
        beyond[:, : self.least] = False
        removed = np.empty_like(beyond)
        np.put_along_axis(removed, order, beyond, axis=-1)
        return np.where(removed, FORBIDDEN, logits)


@dataclass(frozen=True)
class EpsilonCutoff:
    """Keeps tokens of a probability of at least ``epsilon``. ``EpsilonLogitsWarper``; Hewitt et al. 2022."""

    epsilon: float
    least: int = 1

    def __call__(self, history: History, logits: Logits) -> Logits:
        return _remove(logits, softmax(logits) < np.float32(self.epsilon), self.least)


@dataclass(frozen=True)
class EtaCutoff:
    """Keeps tokens of a probability of at least ``min(epsilon, sqrt(epsilon) * exp(-entropy))``.

    ``EtaLogitsWarper``; Hewitt et al. 2022, section 4.
    """

    epsilon: float
    least: int = 1

    def __call__(self, history: History, logits: Logits) -> Logits:
        probs, epsilon = softmax(logits), np.float32(self.epsilon)
        log_probs = np.maximum(log_softmax(logits), np.finfo(np.float32).min)
        entropy = -(log_probs * probs).sum(axis=-1, keepdims=True)
        return _remove(logits, probs < np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-entropy)), self.least)


@dataclass(frozen=True)
class Renormalize:
    """Turns logits into log-probabilities. ``LogitNormalization``."""

    def __call__(self, history: History, logits: Logits) -> Logits:
        return log_softmax(logits)


def _remove(logits: Logits, removed: NDArray[np.bool_], least: int) -> Logits:
    """Return ``logits`` without the tokens marked, but with the ``least`` most likely in any case."""
    kth = max(logits.shape[-1] - least, 0)
    threshold = np.partition(logits, kth, axis=-1)[..., kth, None]
    return np.where(removed & (logits < threshold), FORBIDDEN, logits)

