"""Training a language model to predict the next token."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..data import PackedRows, is_dataset, iterate, open_records, pack, rows
from ..data.record_source import LazySequence
from ..errors import ArgumentError, DataError
from ..models.base import PretrainedModel
from ..nn import CrossEntropy, Operators, SplitCrossEntropy
from ..trainer.recipe import DataSummary, TrainingRecipe

#: The label of what is no target, in what ``compute_metrics`` gets.
IGNORED = -100
#: Datasets of ids with at most so many rows are read once before training, to count rows without targets.
_CHECKED_ROWS = 1000

Batch = tuple[np.ndarray, ...]


class _MaskedRows(LazySequence[dict[str, np.ndarray]]):
    """Packed rows with a ``loss_mask`` each: in those of a dataset without prompts and padding every id is a target."""

    def __init__(self, rows: PackedRows, length: int) -> None:
        self.rows, self._all = rows, np.ones(length, np.uint8)

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, index: int) -> dict[str, np.ndarray]:
        row = self.rows[index]
        return row if "loss_mask" in row else {**row, "loss_mask": self._all[: len(row["input_ids"])]}

    def digest(self) -> str:
        """Return the digest of the packed rows."""
        return self.rows.digest()


class CausalLMRecipe(TrainingRecipe):
    """Next-token prediction.

    Datasets it takes:

    * what :func:`mf_core.data.open_records` reads: paths to jsonl, txt, MindRecord, TFRecord and npy files, lists,
      map-style objects and iterables. Texts are tokenised, ended with EOS and packed into rows of
      ``max_seq_length + 1`` ids as ``args.packing`` says; of a ``prompt`` with its ``completion`` only the latter is
      learnt. Rows of ids, all of one length, are used as they are;
    * a ``mindspore.dataset`` object with a column ``input_ids``, whose own batching is kept.

    A row of n ids makes n - 1 targets: each id predicts the next one. In packed rows a target counts where it is text,
    whatever its id; in rows of ids without a ``loss_mask``, where its input id is not the pad id. ``loss`` is the mean
    over those.
    """

    head: ClassVar[str] = "causal_lm"

    @property
    def length(self) -> int:
        """Ids in a row: the model's context, or ``max_seq_length``, and one."""
        context, asked = self.model.max_positions, self.args.max_seq_length
        if asked is not None and asked > context:
            raise ArgumentError(
                f"max_seq_length={asked} is more than the model's context of {context}", value=asked,
                hint=f"set it to {context} or less",
            )  # fmt: skip
        return (asked or context) + 1

    def examples(
        self, dataset: Any, name: str = "train_dataset"
    ) -> Sequence[Mapping[str, Any]] | Iterable[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``input_ids``, and ``loss_mask`` and ``segment_ids`` if any."""
        records = open_records(dataset, name=name, on_bad_record=self.args.on_bad_record)
        if records.kind == "ids":
            return rows(records, vocab_size=int(self.model.config.vocab_size), max_length=self.length)
        if self.tokenizer is None:
            raise DataError(f"{name} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        workers = self.args.dataloader_num_workers
        packed = pack(records, self.tokenizer, self.length, mode=self.args.packing, workers=workers, name=name)
        return _MaskedRows(packed, self.length) if isinstance(packed, PackedRows) else packed

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        """Return ``(ids, mask)``, and ``(ids, mask, positions, segments)`` for packed documents kept apart.

        ids is ``(B, S + 1)``; mask ``(B, S)``, 1.0 where a target counts; positions and segments ``(B, S)``.
        """
        ids = np.stack([example["input_ids"] for example in examples]).astype(np.int32, copy=False)
        pad = getattr(self.model.config, "pad_token_id", None)
        counted = np.ones(ids[:, 1:].shape, bool) if pad is None else ids[:, :-1] != pad
        if "loss_mask" in examples[0]:
            # A completion's first id is a target though the prompt before it might end in the pad id.
            counted = np.stack([example["loss_mask"] for example in examples])[:, 1:] != 0
        if "segment_ids" not in examples[0]:
            return ids, counted.astype(np.float32)
        segments = np.stack([example["segment_ids"] for example in examples]).astype(np.int32, copy=False)
        counted &= (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] != 0)
        return ids, counted.astype(np.float32), _restarted(segments[:, :-1]), segments[:, :-1].copy()

    def summary(self, examples: Sequence[Any] | Iterable[Any]) -> DataSummary:
        """See the base class.

        Raises:
            DataError: No row has a target.
        """
        if isinstance(examples, _MaskedRows):
            packed = examples.rows
            return DataSummary(packed.documents, packed.tokens, len(packed), self.length)
        if not isinstance(examples, Sequence):
            return DataSummary()
        self._check_targets(examples)
        length = len(examples[0]["input_ids"])
        return DataSummary(tokens=len(examples) * length, rows=len(examples), length=length)

    def _check_targets(self, examples: Sequence[Any]) -> None:
        """Warn about rows of ids without targets; raise DataError if all are so. Of many rows a sample is read."""
        count = len(examples)
        indices = range(count) if count <= _CHECKED_ROWS else np.linspace(0, count - 1, 32).astype(int)
        empty = sum(not self.collate([examples[int(i)]])[1].any() for i in indices)
        if empty == count:
            raise DataError(
                f"none of the {count} rows has a target, so there is nothing to learn", value=count,
                why="all of their ids are padding, or masked by loss_mask", hint="look at loss_mask and pad_token_id",
            )  # fmt: skip
        if empty:
            warnings.warn(f"{empty} of {len(indices)} rows have no targets: nothing is learnt from them", stacklevel=2)

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        first = examples[0]
        nothing = {**first, "loss_mask": np.zeros(len(first["input_ids"]), np.uint8)}
        masked = [example if "loss_mask" in example else {**example, "loss_mask": self._default_mask(example)}
                  for example in examples]  # fmt: skip
        return [*masked, *[nothing] * (size - len(examples))] if len(examples) < size else examples

    def _default_mask(self, example: Mapping[str, Any]) -> np.ndarray:
        pad = getattr(self.model.config, "pad_token_id", None)
        mask = np.ones(len(example["input_ids"]), np.uint8)
        if pad is not None:
            mask[1:] = example["input_ids"][:-1] != pad
        return mask

    def batches(
        self, dataset: Any, name: str = "train_dataset", seed: int | None = None
    ) -> Iterable[Batch] | None:
        """See the base class; for ``mindspore.dataset`` objects."""
        return self._columns(dataset, name, seed) if is_dataset(dataset) else None

    def _columns(self, dataset: Any, name: str, seed: int | None) -> Iterator[Batch]:
        for number, record in enumerate(iterate(dataset, seed)):
            if "input_ids" not in record:
                raise DataError(
                    f"{name} has no column 'input_ids'; it has: {', '.join(record)}", value=list(record),
                    hint="name it: GeneratorDataset(…, column_names=['input_ids'])",
                )
            known = ("input_ids", "loss_mask", "segment_ids")
            columns = {key: np.asarray(record[key]) for key in known if key in record}
            if columns["input_ids"].ndim == 1:
                columns = {key: value[None] for key, value in columns.items()}
            whole = [{key: value[i] for key, value in columns.items()} for i in range(len(columns["input_ids"]))]
            checked = rows(
                open_records(whole, name=f"{name}, batch {number}"),
                vocab_size=int(self.model.config.vocab_size), max_length=self.length,
            )  # fmt: skip
            yield self.collate(list(checked))

    def network(self) -> nn.Cell:
        """See the base class."""
        return CausalLMLoss(self.model)

    def stage(self) -> nn.Cell:
        """See the base class."""
        return _Stage(CausalLMLoss(self.model))

    def hidden_like(self, batch: tuple[Tensor, ...]) -> Tensor:
        """See the base class: ``(B, S, E)``."""
        rows, positions = batch[1].shape
        sharding = self.model.sharding
        if sharding is not None and sharding.config.use_seq_parallel:
            positions //= sharding.layout.tensor
        return ops.zeros((rows, positions, self.model.config.hidden_size), getattr(ms, self.model.activation_dtype))

    def metrics(self, loss: float) -> Mapping[str, float]:
        """Return the perplexity."""
        return {"perplexity": math.exp(loss) if loss < 700 else math.inf}

    def predictor(self) -> nn.Cell:
        """See the base class: the most likely next ids ``(B, S)``, and the true ones."""
        return _NextIds(self.model)

    def tokens(self, batch: Batch) -> int:
        """See the base class."""
        return int(batch[1].size)


class CausalLMLoss(nn.Cell):
    """Cross-entropy of each next token, as ``(mean, number of targets)``.

    In a stage of a pipeline that is not the last, what its layers give, an auxiliary loss, and the number of targets.

    Args:
        model: Maps ids ``(B, S)``, a mask and positions to logits ``(B, S, V)``. The loss that its ``body`` returns in
            training, if any, is added to the mean.
    """

    operators: ClassVar[Operators] = {"part": ("rows -",), "count": ("all", "all"), "total": ("all",)}

    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        sharding = model.sharding
        self.is_last = sharding is None or sharding.layout.is_last
        split = None if sharding is None else sharding.vocabulary
        self.cross_entropy = CrossEntropy() if split is None else SplitCrossEntropy(split)
        self.part, self.count, self.total = ops.StridedSlice(), ops.Mul(), ops.ReduceSum()
        self.visible = _Visible()

    def construct(
        self,
        ids: Tensor,
        mask: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """See :meth:`CausalLMRecipe.collate` for the shapes; ``hidden`` is what the stage before gave."""
        auxiliary = Tensor(0.0, ms.float32)
        rows, length = mask.shape
        inputs = self.part(ids, (0, 0), (rows, length), (1, 1))
        hidden = self.model.body(inputs, self.visible(segments), positions, hidden)
        if self.model.has_auxiliary_loss and self.model.training:
            hidden, auxiliary = hidden
        counted = mask.reshape((-1,))
        targets = self.total(counted)
        if not self.is_last:
            return hidden, auxiliary, targets
        logits = self.model.head(hidden, whole=False)
        labels = self.part(ids, (0, 1), (rows, length + 1), (1, 1)).reshape((-1,))
        losses = self.cross_entropy(logits.reshape((-1, logits.shape[-1])), labels)
        mean = self.total(self.count(losses, counted)) / ops.maximum(targets, Tensor(1.0, ms.float32))
        return mean + auxiliary, targets


class _Stage(nn.Cell):
    def __init__(self, loss: CausalLMLoss) -> None:
        super().__init__(auto_prefix=False)
        self.loss = loss

    def construct(self, hidden: Tensor | None, *batch: Tensor) -> Any:
        if len(batch) == 2:
            return self.loss(batch[0], batch[1], None, None, hidden)
        return self.loss(batch[0], batch[1], batch[2], batch[3], hidden)


class _NextIds(nn.Cell):
    def __init__(self, model: PretrainedModel) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.visible = model, _Visible()

    def construct(
        self, ids: Tensor, mask: Tensor, positions: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        best = ops.argmax(self.model(ids[:, :-1], self.visible(segments), positions), -1)
        labels = ids[:, 1:]
        return ops.cast(best, ms.int32), ops.select(mask > 0, labels, ops.full_like(labels, IGNORED))


class _Visible(nn.Cell):
    """The attention mask of packed rows, ``(B, S, S)``: positions attend within their segment."""

    operators: ClassVar[Operators] = {"equal": ("rows - -", "rows - -")}

    def __init__(self) -> None:
        super().__init__()
        self.equal, self.by_compiler = ops.Equal(), False

    def construct(self, segments: Tensor | None) -> Tensor | None:
        if segments is None:
            return None
        examples, length = segments.shape
        rows, columns = segments.reshape((examples, length, 1)), segments.reshape((examples, 1, length))
        if not self.by_compiler:
            size = (examples, length, length)
            rows, columns = ops.broadcast_to(rows, size), ops.broadcast_to(columns, size)
        return ops.cast(self.equal(rows, columns), ms.int32)


def _restarted(segments: np.ndarray) -> np.ndarray:
    """Return each position within its segment, from 0."""
    positions = np.arange(segments.shape[1], dtype=np.int32)[None]
    begins = np.ones(segments.shape, bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    restarted: np.ndarray = positions - np.maximum.accumulate(np.where(begins, positions, 0), axis=1)
    return restarted.astype(np.int32)
