"""Training a language model to predict the next token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import DataError, FileMissingError, InputTooLongError
from ..modeling import PretrainedModel
from ..trainer.recipe import TrainingRecipe


class CausalLMRecipe(TrainingRecipe):
    """Next-token prediction.

    Datasets it takes:

    * a path to ``.jsonl`` (a ``text`` a line) or ``.txt`` (a document a blank-line-separated paragraph): documents are
      tokenised, ended with EOS, joined, and cut into blocks of ``seq_length + 1``, the last one padded;
    * a list of strings: likewise;
    * a sequence or iterable of id arrays, or of dicts with ``input_ids``, all of one length: used as they are;
    * a ``mindspore.dataset`` object with a column ``input_ids``, whose own batching is kept.

    A row of n ids makes n - 1 targets: each id predicts the next one. A target counts where its input id is not the pad
    id; ``loss`` is the mean over those.
    """

    head: ClassVar[str] = "causal_lm"

    def examples(self, dataset: Any) -> Sequence[np.ndarray]:
        """See the base class."""
        if isinstance(dataset, (str, Path)):
            return self._pack(_read_texts(Path(dataset)), str(dataset))
        items = list(dataset)
        if not items:
            raise DataError("the train_dataset is empty", value=dataset)
        if all(isinstance(item, str) for item in items):
            return self._pack(items, "the train_dataset")
        rows = [self._row(item, number) for number, item in enumerate(items)]
        for number, row in enumerate(rows):
            if row.shape != rows[0].shape:
                raise DataError(
                    f"record {number} has {row.size} ids, record 0 has {rows[0].size}", value=number,
                    hint="give rows of one length, or texts, which are packed",
                )
        return rows

    def collate(self, examples: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return ``(ids,)``: ``(batch, n)`` int32."""
        return (np.stack(examples),)

    def batches(self, dataset: Any) -> Iterator[tuple[np.ndarray, ...]] | None:
        """See the base class; for ``mindspore.dataset`` objects."""
        if not hasattr(dataset, "create_dict_iterator"):
            return None
        return self._columns(dataset)

    def network(self) -> nn.Cell:
        """See the base class."""
        return CausalLMLoss(self.model)

    def _columns(self, dataset: Any) -> Iterator[tuple[np.ndarray, ...]]:
        for number, record in enumerate(dataset.create_dict_iterator(num_epochs=1, output_numpy=True)):
            if "input_ids" not in record:
                raise DataError(
                    f"the dataset has no column 'input_ids'; it has: {', '.join(record)}", value=list(record),
                    hint="name it: GeneratorDataset(…, column_names=['input_ids'])",
                )
            ids = np.asarray(record["input_ids"])
            rows = ids[None] if ids.ndim == 1 else ids
            yield (np.stack([self._row(row, number) for row in rows]),)

    def _row(self, item: Any, number: int) -> np.ndarray:
        ids = np.asarray(item["input_ids"] if isinstance(item, dict) and "input_ids" in item else item)
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.size < 2:
            raise DataError(
                f"record {number} is not a row of at least two ids: {str(item)[:80]!r}", value=number,
                hint="a record is an array of ids, or a dict with the key 'input_ids'",
            )
        context = self.model.max_positions
        if ids.size > context + 1:
            raise InputTooLongError(
                f"record {number} has {ids.size} ids; a row may have {context + 1}, the model's context and one",
                value=ids.size,
            )
        vocab = int(self.model.config.vocab_size)
        if ids.min() < 0 or ids.max() >= vocab:
            raise DataError(f"record {number} has an id outside the vocabulary of {vocab}", value=number)
        return ids.astype(np.int32)

    def _pack(self, texts: Sequence[str], whose: str) -> Sequence[np.ndarray]:
        tokenizer = self.tokenizer
        if tokenizer is None:
            raise DataError(f"{whose} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        stream: list[int] = []
        for text in texts:
            stream += tokenizer.encode(text, add_special_tokens=False) + end
        size = self.model.max_positions + 1
        if len(stream) < 2:
            raise DataError(f"{whose} holds no text", value=whose)
        pad = tokenizer.pad_token_id
        missing = -len(stream) % size
        if missing and pad is not None:
            stream += [pad] * missing
        elif missing and len(stream) > size:  # nothing to pad with: the rest of the last block is left out
            stream = stream[: len(stream) - len(stream) % size]
        return list(np.array(stream, np.int32).reshape(-1, min(size, len(stream))))


class CausalLMLoss(nn.Cell):
    """Cross-entropy of each next token, as ``(mean, number of targets)``.

    Args:
        model: Maps ids ``(B, S)`` to logits ``(B, S, V)``.
    """

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        pad = getattr(model.config, "pad_token_id", None)
        self.pad = -1 if pad is None else pad
        self.cross_entropy = ops.SoftmaxCrossEntropyWithLogits()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """``ids`` is ``(B, S + 1)`` int32."""
        inputs, labels = ids[:, :-1], ids[:, 1:].reshape((-1,))
        logits = self.model(inputs)
        vocab = logits.shape[-1]
        losses, _ = self.cross_entropy(logits.reshape((-1, vocab)), ops.one_hot(labels, vocab, self.on, self.off))
        counted = ops.cast(inputs.reshape((-1,)) != self.pad, ms.float32)
        targets = counted.sum()
        return (losses * counted).sum() / ops.maximum(targets, self.on), targets


def _read_texts(path: Path) -> list[str]:
    """Return the documents of a ``.jsonl`` or ``.txt`` file."""
    if not path.is_file():
        raise FileMissingError(f"there is no file {str(path)!r}", value=str(path))
    if path.suffix == ".txt":
        return [part.strip() for part in path.read_text(encoding="utf-8").split("\n\n") if part.strip()]
    if path.suffix != ".jsonl":
        raise DataError(f"{path} is neither .jsonl nor .txt", value=str(path))
    texts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number} is not a JSON object with the key 'text'", value=line[:80], why=str(error)
            ) from error
        if not isinstance(text, str):
            raise DataError(f"{path}:{number}: 'text' is a {type(text).__name__}, not a string", value=text)
        texts.append(text)
    return texts
