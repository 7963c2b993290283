"""Records of text into documents of ids, several at a time."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pickle import PickleError
from typing import Final

import numpy as np
from tqdm import tqdm

from ...errors import ArgumentError, describe
from ...tokenization.base import PretrainedTokenizer
from ..record_source import Record
from .row_packer import Document

#: A batch has so many texts, or characters, at most, but for a longer text.
_TEXTS: Final = 1024
_CHARACTERS: Final = 1 << 21

Encode = Callable[[list[str]], list[list[int]]]


def documents(
    records: Iterable[tuple[str, Record]], tokenizer: PretrainedTokenizer, workers: int, bar: tqdm | None = None
) -> Iterator[Document]:
    """Yield the ids of each record in turn: no BOS; EOS at the end, where the tokenizer has one.

    Args:
        records: Place and record; texts, or prompts with completions, which are tokenised each on its own.
        tokenizer: Its ``encode_batch`` is called.
        workers: Processes, for a tokenizer whose ``encode_batch`` is the base class's loop. Others are parallel by
            themselves.
        bar: Is moved on with the documents.

    Raises:
        ArgumentError: The tokenizer cannot be sent to another process, or the processes end.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    loops = type(tokenizer).encode_batch is PretrainedTokenizer.encode_batch
    batches = _batches(records)
    done = _in_processes(batches, tokenizer, workers) if workers and loops else _here(batches, tokenizer)
    for batch, rows in done:
        encoded = iter(rows)
        for record in batch:
            prompt = next(encoded) if "prompt" in record else []
            yield Document(np.array([*prompt, *next(encoded), *end], np.int32), len(prompt))
        if bar is not None:
            bar.update(len(batch))


def _here(
    batches: Iterator[list[Record]], tokenizer: PretrainedTokenizer
) -> Iterator[tuple[list[Record], list[list[int]]]]:
    for batch in batches:
        yield batch, tokenizer.encode_batch(_texts(batch))


def _in_processes(
    batches: Iterator[list[Record]], tokenizer: PretrainedTokenizer, workers: int
) -> Iterator[tuple[list[Record], list[list[int]]]]:
    """Yield the same, in the same order, with a few batches on the way at a time."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(tokenizer,)
    )
    waiting: deque[tuple[list[Record], Future[list[list[int]]]]] = deque()
    try:
        for batch in batches:
            waiting.append((batch, _submit(pool, batch, tokenizer, workers)))
            if len(waiting) > 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise ArgumentError(
            f"workers={workers}: a process that tokenises has ended", value=workers, why=describe(error),
            hint='begin your script\'s work under `if __name__ == "__main__":`, or pass workers=0',
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(
    pool: ProcessPoolExecutor, batch: list[Record], tokenizer: PretrainedTokenizer, workers: int
) -> Future[list[list[int]]]:
    try:
        return pool.submit(_encode, _texts(batch))
    except (TypeError, AttributeError, PickleError) as error:  # the tokenizer goes along when a process starts
        raise ArgumentError(
            f"workers={workers}: {type(tokenizer).__name__} cannot be sent to another process", value=workers,
            why=describe(error), hint="pass workers=0",
        ) from error


_encode_batch: Encode | None = None


def _start(tokenizer: PretrainedTokenizer) -> None:
    global _encode_batch
    _encode_batch = tokenizer.encode_batch


def _encode(texts: list[str]) -> list[list[int]]:
    assert _encode_batch is not None
    return _encode_batch(texts)


def _batches(records: Iterable[tuple[str, Record]]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    characters = 0
    for _, record in records:
        batch.append(record)
        characters += sum(map(len, record.values()))
        if len(batch) == _TEXTS or characters > _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _texts(batch: list[Record]) -> list[str]:
    return [text for record in batch for text in record.values()]
