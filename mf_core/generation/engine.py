"""Generating tokens: prompts wait in a queue for a free row, and each running row grows by a token per step.

A prompt's pass puts it into the cache; from then on each token takes one compiled step, with all other rows'. A row
that is finished makes room for the next prompt at once. Shapes are rounded up (:mod:`mf_core.generation.cache`), so
another prompt or length rarely compiles again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from .beams import run_beams
from .cache import prompt_bucket
from .config import GenerationConfig
from .hooks import Hooks
from .rows import CachedRows
from .sequences import Continuation, Writer, shared_length
from .speculation import Draft, PromptLookup, Proposer

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

#: What a cache has room for beyond a prompt from the beginning, if the limit asks for as much; then it grows.
_ROOM = 128

#: What a pass costs beside its tokens, in tokens: it reads all weights.
_PASS_COST = 16


def run(
    model: PretrainedModel,
    sequences: Sequence[Continuation],
    config: GenerationConfig,
    hooks: Hooks | None = None,
    *,
    batch_size: int | None = None,
    assistant: PretrainedModel | None = None,
    entry: CachedRows | None = None,
) -> Iterator[None]:
    """Extend sequences by a token each, or by several that were proposed; a yield a step, until all are finished.

    Args:
        model: The model.
        sequences: From :func:`prepare`; changed in place.
        config: How to choose tokens. Equal seeds give a prompt the same tokens, alone or in any batch.
        hooks: The caller's functions, and what to record.
        batch_size: Most sequences that are run together; the others wait for a row that becomes free. None: all
            together.
        assistant: A smaller model that proposes tokens, checked by :func:`check_speculation`.
        entry: A row of the model's that earlier runs have put prompts into; what a prompt begins with as they did is
            not computed again. The run owns it until it ends. None: the run creates one.
    """
    hooks = hooks or Hooks()
    if config.num_beams > 1:
        yield from run_beams(model, sequences, config, hooks, batch_size=batch_size, entry=entry)
        return
    count = min(batch_size or len(sequences), len(sequences))
    queue = deque(Writer(sequence, config, hooks) for sequence in sequences)
    with ExitStack() as stack:
        if entry is None:
            entry = stack.enter_context(CachedRows(model, 1))
        rows = entry if count == 1 else stack.enter_context(CachedRows(model, count))
        proposer: Proposer | None = None
        if assistant is not None:
            proposer = Draft(stack.enter_context(CachedRows(assistant, count)), config.num_assistant_tokens)
        elif config.prompt_lookup_num_tokens is not None:
            proposer = PromptLookup(config.prompt_lookup_num_tokens)
        batch = _Batch(rows, entry, queue, proposer)
        while True:
            if batch.admit():
                yield
            if not any(batch.writers):
                return
            batch.step()
            yield


class _Batch:
    """The rows of a run, the queue before them, and the row by which prompts enter while others are running."""

    def __init__(
        self, rows: CachedRows, entry: CachedRows, queue: deque[Writer], proposer: Proposer | None
    ) -> None:
        self.rows, self.entry, self.queue, self.proposer = rows, entry, queue, proposer
        self.writers: list[Writer | None] = [None] * len(rows.cached)

    def admit(self) -> bool:
        """Give free rows to prompts that wait, and each its first token; tell whether there were any."""
        admitted = False
        while self.queue and None in self.writers:
            admitted = True
            free = [row for row, writer in enumerate(self.writers) if writer is None]
            if len(free) == len(self.writers) and self._batching_is_cheaper():
                self._admit_batch()
            else:
                self._admit_one(free[0])
        return admitted

    def step(self) -> None:
        """Extend each running row by a token, or by those proposed that it draws itself and one more."""
        proposals = [[] for _ in self.writers] if self.proposer is None else self._propose(self.proposer)
        kept = self.proposer.most + 1 if self.proposer is not None and any(proposals) else 1
        self._reserve(*self.writers)
        tokens = [
            [] if writer is None else writer.sequence.ids[-1:] + proposal
            for writer, proposal in zip(self.writers, proposals, strict=True)
        ]
        logits = self.rows.put(tokens, kept)
        for row, writer in enumerate(self.writers):
            if writer is not None:
                self._extend(row, writer, logits[row], proposals[row])

    def _propose(self, proposer: Proposer) -> list[list[int]]:
        """Return proposals for the rows; none crosses the length from which rotary positions are others."""
        proposals, long_from = proposer.propose(self.writers), self.rows.model.long_from
        for writer, proposal in zip(self.writers, proposals, strict=True):
            if writer is not None and len(writer.sequence.ids) <= long_from:
                del proposal[long_from - len(writer.sequence.ids) :]
        return proposals

    def _batching_is_cheaper(self) -> bool:
        """Return whether the next prompts take less in one pass, padded to the longest, than in one each."""
        prompts = [writer.sequence.ids for writer, _ in zip(self.queue, self.writers, strict=False)]
        together = _PASS_COST + len(self.writers) * prompt_bucket(max(map(len, prompts)))
        before = [self.entry.cached[0], *prompts]
        new = [len(ids) - shared_length(cached, ids) for cached, ids in zip(before, prompts, strict=False)]
        return together < sum(_PASS_COST + prompt_bucket(max(1, count)) for count in new)

    def _admit_batch(self) -> None:
        new = [self.queue.popleft() if self.queue else None for _ in self.writers]
        self.rows.read({row: writer.sequence.source for row, writer in enumerate(new) if writer is not None})
        self._reserve(*new)
        logits = self.rows.put([[] if writer is None else writer.sequence.ids for writer in new])
        for row, writer in enumerate(new):
            if writer is not None:
                self._extend(row, writer, logits[row])

    def _admit_one(self, row: int) -> None:
        writer = self.queue.popleft()
        ids = writer.sequence.ids
        self.entry.read({0: writer.sequence.source})
        self._reserve(writer)
        logits = self.entry.put([self.entry.keep_prefix(0, ids)])
        if self.entry is not self.rows:
            self.rows.take(row, self.entry)
        self._extend(row, writer, logits[0])

    def _extend(self, row: int, writer: Writer, logits: np.ndarray, proposal: Sequence[int] = ()) -> None:
        """Extend a row by its next token and the draft tokens up to the first mismatch."""
        sequence, after = writer.sequence, logits[len(logits) - 1 - len(proposal) :]
        for number, proposed in enumerate((*proposal, None)):
            if writer.extend(after[number]) != proposed or sequence.finished:
                break
        del self.rows.cached[row][len(sequence.ids) - 1 :]
        self.writers[row] = None if sequence.finished else writer
        if sequence.finished and self.entry is not self.rows:
            self.rows.cached[row].clear()

    def _reserve(self, *writers: Writer | None) -> None:
        """Make room for these sequences, and for what they may grow to next."""
        sequences = [writer.sequence for writer in writers if writer is not None]
        if max(len(s.ids) for s in sequences) > self.rows.max_length:
            # The last token of all is never put into the cache.
            self.rows.reserve(max(min(len(s.ids) + _ROOM, s.limit - 1) for s in sequences))
