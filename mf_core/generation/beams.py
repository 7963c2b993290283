"""Beam search: the most likely texts, found by keeping several at each step.

The algorithm is that of ``transformers``, step by step, so that its ids come out: the scores of finished texts are
log-probabilities divided by ``length ** length_penalty``, and a search ends when no better text is to be expected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .config import GenerationConfig
from .hooks import Hooks, NewToken
from .logits import Logits, LogitsProcessor, check_finite, log_softmax
from .processors import build_processors
from .rows import CachedRows

if TYPE_CHECKING:
    from ..models.base import PretrainedModel
    from .sequences import Continuation, FinishReason

#: The score of what must not be chosen: finite, so that it can be compared and added to.
_NEVER = np.float32(-1e9)
_BLOCK = 256


def run_beams(
    model: PretrainedModel,
    sequences: Sequence[Continuation],
    config: GenerationConfig,
    hooks: Hooks,
    *,
    batch_size: int | None = None,
    entry: CachedRows | None = None,
) -> Iterator[None]:
    """Fill sequences with the best texts of their prompts; a yield a step, until all are found.

    Args:
        model: The model.
        sequences: From :func:`prepare`: those of a prompt together. Changed in place when a search has ended.
        config: How to choose tokens.
        hooks: The caller's functions.
        batch_size: Most beams that are run together, but those of one prompt at least; None: all together.
        entry: A row by which prompts enter; see :func:`mf_core.generation.engine.run`.
    """
    copies, beams = config.num_return_sequences, config.num_beams
    groups = [sequences[start : start + copies] for start in range(0, len(sequences), copies)]
    queue = deque(BeamSearch(group, config, hooks) for group in groups)
    count = min(len(groups), max(1, (batch_size or len(groups) * beams) // beams))
    with ExitStack() as stack:
        if entry is None:
            entry = stack.enter_context(CachedRows(model, 1))
        rows = stack.enter_context(CachedRows(model, count * beams))
        running: list[BeamSearch | None] = [None] * count
        while queue or any(running):
            for group, search in enumerate(running):
                if search is None and queue:
                    running[group] = _admit(rows, entry, group * beams, queue.popleft())
            yield
            parents = list(range(count * beams))
            for group, search in enumerate(running):
                if search is not None and search.finished:
                    search.finish()
                    running[group] = None
                    for row in range(group * beams, (group + 1) * beams):
                        rows.cached[row].clear()
                elif search is not None:
                    parents[group * beams : (group + 1) * beams] = [group * beams + beam for beam in search.parents]
            if not any(running):
                continue
            rows.reorder(parents)
            tokens: list[list[int]] = [[] for _ in parents]
            for group, search in enumerate(running):
                if search is not None:
                    tokens[group * beams : (group + 1) * beams] = [ids[-1:] for ids in search.running]
            logits = rows.put(tokens)[:, -1]
            for group, search in enumerate(running):
                if search is not None:
                    search.advance(logits[group * beams : (group + 1) * beams])


def _admit(rows: CachedRows, entry: CachedRows, first: int, search: BeamSearch) -> BeamSearch:
    """Write a prompt into the first of its rows and run the first step of its search; the other rows are copies."""
    ids = search.prompt
    entry.read({0: search.source})
    logits = entry.put([entry.keep_prefix(0, ids)])[:, -1]
    for beam in range(search.beams):
        rows.take(first + beam, entry)
    search.advance(np.broadcast_to(logits, (search.beams, logits.shape[-1])))
    search.parents = list(range(search.beams))  # all rows are alike
    return search


def largest(values: Logits, count: int) -> NDArray[np.intp]:
    """Return the indices of the ``count`` largest of values, ``(N,)``, the largest first.

    They are in the ``count`` blocks with the largest maxima, and what is outside of these need not be partitioned.
    """
    whole = len(values) // _BLOCK * _BLOCK
    maxima = values[:whole].reshape(-1, _BLOCK).max(axis=1)
    blocks = np.argpartition(-maxima, count - 1)[:count] if len(maxima) > count else np.arange(len(maxima))
    found = np.concatenate(
        ((blocks[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1), np.arange(whole, len(values)))
    )  # fmt: skip
    if len(found) > count:
        found = found[np.argpartition(-values[found], count - 1)[:count]]
    order: NDArray[np.intp] = found[np.lexsort((found, -values[found]))]
    return order


class BeamSearch:
    """The beams of one prompt.

    Args:
        group: The prompt's continuations, which get the best texts in the end.
        config: How to choose tokens.
        hooks: The caller's functions; ``processors`` are given all beams at once.

    Attributes:
        prompt, source: What every beam begins with, and what an encoder reads.
        running: The ids of each beam.
        parents: For each beam, the one of the step before that it continues.
        finished: Whether no better text is to be expected.
    """

    def __init__(self, group: Sequence[Continuation], config: GenerationConfig, hooks: Hooks) -> None:
        self._group, self._config, self._hooks = group, config, hooks
        first = group[0]
        self.prompt, self.source, self._limit = list(first.ids), first.source, first.limit
        self.beams = config.num_beams
        self._eos, self._stop_ids = frozenset(config.eos_ids), frozenset(config.stop_token_ids)
        self._kept = max(2, 1 + len(self._eos | self._stop_ids)) * self.beams
        custom: list[LogitsProcessor] = [*hooks.wrapped]
        if hooks.structure is not None:
            custom.append(hooks.structure.processor(first.prompt, self.beams))
        self._processors = build_processors(config, [first.prompt] * self.beams, [first.limit] * self.beams, custom)
        self._random = np.random.default_rng(config.seed)
        self.running: list[list[int]] = [list(self.prompt) for _ in range(self.beams)]
        self.parents = list(range(self.beams))
        self.finished = False
        self._scores = np.full(self.beams, _NEVER, np.float32)
        self._scores[0] = 0  # the beams are alike: only the first one counts
        self._best: list[tuple[list[int], FinishReason | None]] = [(list(self.prompt), None)] * self.beams
        self._best_scores = np.full(self.beams, _NEVER, np.float32)
        self._is_full = np.zeros(self.beams, bool)
        self._may_improve = True

    def advance(self, logits: Logits) -> None:
        """Extend the beams by the logits after each one's last token, ``(num_beams, V)``."""
        check_finite(logits)
        scores = log_softmax(logits)
        for processor in self._processors:
            scores = processor(self.running, scores)
        vocab = scores.shape[-1]
        total = (scores + self._scores[:, None]).reshape(-1)
        chosen = self._candidates(total)
        origin, tokens, best = chosen // vocab, chosen % vocab, total[chosen]
        texts = [[*self.running[beam], int(token)] for beam, token in zip(origin, tokens, strict=True)]
        reasons = [self._end(ids, logits[beam]) for ids, beam in zip(texts, origin, strict=True)]
        ended = np.array([reason is not None for reason in reasons])
        self._collect(texts, reasons, ended, best)
        going_on = np.where(ended, best + _NEVER, best).astype(np.float32)
        order = np.argsort(-going_on, kind="stable")[: self.beams]
        self.running = [texts[i] for i in order]
        self.parents = [int(origin[i]) for i in order]
        self._scores = going_on[order]
        self._settle(bool(ended.all()))

    def finish(self) -> None:
        """Give the continuations their texts, the best first."""
        for number, sequence in enumerate(self._group):
            ids, reason = self._best[number]
            sequence.ids[:] = ids
            sequence.score = float(self._best_scores[number])
            sequence.finished = reason
            if sequence.follower is not None:
                for index in ids[sequence.prompt :]:
                    if sequence.follower.push(index):
                        break
            if self._hooks.callbacks:
                for position, index in enumerate(ids[sequence.prompt :], sequence.prompt + 1):
                    end = reason if position == len(ids) else None
                    self._hooks.announce(NewToken(sequence.row, sequence.number, index, None, end))

    def _candidates(self, total: Logits) -> NDArray[np.intp]:
        """Return the indices of the best continuations, or of some that are drawn without replacement."""
        if self._config.do_sample:
            with np.errstate(divide="ignore"):
                total = total - np.log(-np.log(self._random.random(total.shape)))  # Gumbel: a draw without replacement
        return largest(total, min(self._kept, len(total)))

    def _end(self, ids: list[int], logits: Logits) -> FinishReason | None:
        if ids[-1] in self._eos:
            return "eos"
        if ids[-1] in self._stop_ids:
            return "stop"
        follower = self._group[0].follower
        if follower is not None and follower.would_stop(ids[len(self.prompt) :]):
            return "stop"
        if self._hooks.criteria and self._hooks.ends(ids, logits):
            return "stop"
        return "length" if len(ids) >= self._limit else None

    def _collect(
        self, texts: list[list[int]], reasons: Sequence[FinishReason | None], ended: np.ndarray, best: Logits
    ) -> None:
        """Keep the best of the texts that have ended so far and now."""
        size = len(texts[0]) - len(self.prompt)
        now = ended & (np.arange(len(texts)) < self.beams)
        scores = best / np.float32(size**self._config.length_penalty)
        if self._is_full.all() and self._config.early_stopping is True:
            scores = scores + _NEVER
        if not self._may_improve:
            scores = scores + _NEVER
        scores = np.where(now, scores, scores + _NEVER).astype(np.float32)
        merged = np.concatenate((self._best_scores, scores))
        order = np.argsort(-merged, kind="stable")[: self.beams]
        every = [*self._best, *zip(texts, reasons, strict=True)]
        self._best = [every[i] for i in order]
        self._best_scores = merged[order]
        self._is_full = np.concatenate((self._is_full, now))[order]

    def _settle(self, no_way_on: bool) -> None:
        """Update whether a running beam may still become better than finished ones."""
        early, penalty = self._config.early_stopping, self._config.length_penalty
        longest = self._limit if early == "never" and penalty > 0 else len(self.running[0])
        possible = self._scores[0] / np.float32((longest - len(self.prompt)) ** penalty)
        worst = np.where(self._is_full, self._best_scores.min(), _NEVER)
        self._may_improve = self._may_improve and bool((possible > worst).any())
        is_open = not (self._is_full.all() and early is True)
        self.finished = not (self._may_improve and is_open and not no_way_on)
