"""Speculative decoding: draft tokens are proposed cheaply and verified by one pass of the model.

A proposal is taken where it is the very token that is drawn, so texts are the same as without (up to rounding).
Leviathan et al. (2023) is the general idea, Saxena (2023, "Prompt Lookup Decoding") the one without a second model.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from .rows import CachedRows
from .sequences import Writer, shared_length

if TYPE_CHECKING:
    from ..models.base import PretrainedModel
    from .config import GenerationConfig

#: Lengths of what is looked for in the text so far, in this order.
_NGRAMS = (3, 2)


class Proposer(Protocol):
    """Proposes the next tokens of rows.

    Attributes:
        most: Most tokens that it proposes for a row.
    """

    most: int

    def propose(self, writers: Sequence[Writer | None]) -> list[list[int]]:
        """Return the tokens that may come next in each row, none where there is no proposal or no row."""


class PromptLookup:
    """Proposes what followed the last few tokens when they came before.

    Args:
        most: Most tokens that are proposed.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def propose(self, writers: Sequence[Writer | None]) -> list[list[int]]:
        """See :class:`Proposer`."""
        return [[] if writer is None else look_up(writer.sequence.ids, _most(self.most, writer)) for writer in writers]


class Draft:
    """Proposes what a smaller model draws, by the random numbers that the row itself will draw by.

    Where a whole proposal was taken, the row is given two tokens more the next time, and otherwise one less: each costs
    a pass of the smaller model, in vain after the first that is wrong.

    Args:
        rows: The smaller model's, as many as there are rows.
        most: Most tokens that are proposed.
    """

    def __init__(self, rows: CachedRows, most: int) -> None:
        self.rows, self.most = rows, most
        self._counts = [most] * len(rows.cached)
        self._before: list[tuple[Writer, int, list[int]] | None] = [None] * len(rows.cached)

    def propose(self, writers: Sequence[Writer | None]) -> list[list[int]]:
        """See :class:`Proposer`."""
        context = self.rows.model.max_positions
        wanted = [
            0 if writer is None else min(_most(self._count(row, writer), writer), context - len(writer.sequence.ids))
            for row, writer in enumerate(writers)
        ]
        proposals: list[list[int]] = [[] for _ in writers]
        ahead = [writer.ahead() if writer is not None and count > 0 else None
                 for writer, count in zip(writers, wanted, strict=True)]  # fmt: skip
        while any(len(proposal) < count for proposal, count in zip(proposals, wanted, strict=True)):
            texts = [
                writer.sequence.ids + proposal if writer is not None and len(proposal) < count else []
                for writer, proposal, count in zip(writers, proposals, wanted, strict=True)
            ]
            logits = self.rows.put([self._missing(row, text) for row, text in enumerate(texts)])[:, -1]
            for row, text in enumerate(texts):
                writer, sampler = writers[row], ahead[row]
                if text and writer is not None and sampler is not None:
                    proposals[row].append(writer.choose(text, logits[row], sampler))
        self._before = [
            (writer, len(writer.sequence.ids), proposal) if writer is not None and proposal else None
            for writer, proposal in zip(writers, proposals, strict=True)
        ]
        return proposals

    def _count(self, row: int, writer: Writer) -> int:
        """Return how many tokens a row is given, from how many of the previous ones were accepted."""
        before = self._before[row]
        if before is not None and before[0] is writer:
            _, start, proposal = before
            taken = writer.sequence.ids[start : start + len(proposal)] == proposal
            self._counts[row] = min(self.most, self._counts[row] + 2) if taken else max(1, self._counts[row] - 1)
        return self._counts[row]

    def _missing(self, row: int, text: list[int]) -> list[int]:
        """Return the tokens missing from the cache, at least the last one; truncate the row to the common prefix."""
        if not text:
            return []
        cached = self.rows.cached[row]
        del cached[min(shared_length(cached, text), len(text) - 1) :]
        return text[len(cached) :]


def look_up(ids: Sequence[int], most: int) -> list[int]:
    """Return up to ``most`` tokens that followed the end of ``ids`` where it last came before; none if it never did."""
    text = np.asarray(ids)
    for size in _NGRAMS:
        if len(text) <= size or most < 1:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(text[:-1], size)
        found = np.flatnonzero((windows == text[-size:]).all(axis=1))
        if len(found):
            following = list(ids)
            for position in range(int(found[-1]) + size, int(found[-1]) + size + most):
                following.append(following[position])  # a repetition may continue into the tokens just added
            return following[len(ids) :]
    return []


def check_speculation(model: PretrainedModel, config: GenerationConfig, assistant: PretrainedModel | None) -> None:
    """Raise where tokens are to be proposed and cannot be.

    Raises:
        ArgumentError, ArgumentTypeError: The assistant is no model, or has another vocabulary; both ways are asked for.
        UnsupportedError: The model gives the last token's logits alone.
    """
    if assistant is None and config.prompt_lookup_num_tokens is None:
        return
    if assistant is not None:
        if not hasattr(assistant, "decode") or not hasattr(assistant, "config"):
            raise ArgumentTypeError(f"assistant_model is a model, not {type(assistant).__name__}", value=assistant)
        if config.prompt_lookup_num_tokens is not None:
            raise ArgumentError(
                f"both assistant_model and prompt_lookup_num_tokens={config.prompt_lookup_num_tokens} are given",
                value=config.prompt_lookup_num_tokens, hint="give one of them",
            )
        ours, theirs = int(model.config.vocab_size), int(assistant.config.vocab_size)
        if ours != theirs:
            raise ArgumentError(
                f"the assistant has {theirs} entries in its vocabulary, the model {ours}", value=theirs,
                why="its tokens are proposed to the model", hint="take a smaller model of the same family",
            )
    if "logits_to_keep" not in inspect.signature(model.decode).parameters:
        raise UnsupportedError(
            f"{type(model).__name__} cannot say what it thinks of proposed tokens",
            why="its decode has no argument logits_to_keep, for the logits of several tokens",
            hint="leave out prompt_lookup_num_tokens and assistant_model",
        )


def _most(most: int, writer: Writer) -> int:
    """Return how many tokens may be proposed: one more than those comes of a pass."""
    return min(most, writer.sequence.limit - len(writer.sequence.ids) - 1)
