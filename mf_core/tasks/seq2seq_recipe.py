"""Training encoder-decoder models on pairs of texts.

Shapes: B examples, M tokens of sources, S tokens of targets, V vocabulary.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import ConfigError, DataError
from ..generation import generate
from ..models.base import PretrainedModel
from ..nn import CrossEntropy
from .labelled import IGNORED, RowRecipe, width_of
from .text_pipeline import pad

#: Characters of languages that are written without spaces between words.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Seq2SeqRecipe(RowRecipe):
    """Answering a text by another.

    Records have ``source`` and ``target``, or the fields of one of :attr:`forms`. What a model needs before its texts,
    such as T5's ``"summarize: "``, is part of the source. The targets of the loss are the target's tokens and the end.

    Class attributes:
        forms: Names of the fields of source and target. One name alone is of a mapping with two entries, such as
            ``{"en": …, "zh": …}``: the first is the source.
    """

    head: ClassVar[str] = "seq2seq_lm"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("source", "target"),)

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example has ``row`` and ``target`` (rows of ids), ``width`` and ``target_width``."""
        pairs = self._pairs(dataset, name)
        sources = self.rows([(source, None) for source, _ in pairs], name)
        targets = self.rows([(target, None) for _, target in pairs], name)
        if any(not row.ids for row in (*sources, *targets)):
            raise DataError(f"{name} has an empty text, and the tokenizer puts no tokens around it", value=name)
        width, target_width = width_of(sources, self.limit), width_of(targets, self.limit)
        return [
            {"row": source, "target": target, "width": width, "target_width": target_width}
            for source, target in zip(sources, targets, strict=True)
        ]

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids and mask ``(B, M)``, the decoder's ids and the labels ``(B, S)``; int32.

        The decoder's ids are the labels after the start token; labels that are no targets are -100.
        """
        ids, mask, _ = self.arrays(examples)
        targets, known, _ = pad([example["target"] for example in examples], self.tokenizer.pad_token_id or 0)
        missing = ((0, 0), (0, int(examples[0]["target_width"]) - targets.shape[1]))
        targets = np.pad(targets, missing, constant_values=self.tokenizer.pad_token_id or 0)
        counted = np.pad(known, missing) * np.array([[example.get("counts", 1)] for example in examples], np.int32)
        starts = np.full((len(examples), 1), self.start_id, np.int32)
        labels = np.where(counted != 0, targets, IGNORED).astype(np.int32)
        return ids, mask, np.concatenate((starts, targets[:, :-1]), 1), labels

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "counts": 0}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return Seq2SeqLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class: the likeliest next ids ``(B, S)`` after the true ones, and the labels."""
        return Seq2SeqLoss(self.model, best=True)

    def tokens(self, batch: tuple[np.ndarray, ...]) -> int:
        """See the base class."""
        return int(batch[0].size + batch[2].size)

    @property
    def start_id(self) -> int:
        """What the decoder begins with."""
        found = self.model.generation_config.decoder_start_token_id
        if found is None:
            raise ConfigError(
                "decoder_start_token_id is not set, with which the decoder begins",
                hint="set it in the model's config.json or generation_config.json",
            )
        return found

    def _pairs(self, dataset: Any, name: str) -> list[tuple[str, str]]:
        """Return the texts of the records, in the first of the forms that fits them."""
        first: DataError | None = None
        for form in self.forms:
            try:
                records = self.records(dataset, name, form)
            except DataError as error:
                first = first or error
                continue
            return _texts(records, form)
        assert first is not None
        raise first


class TranslationRecipe(Seq2SeqRecipe):
    """Translating texts.

    Records have ``source`` and ``target``, or ``translation``: ``{"en": …, "zh": …}``, in all of them the same two
    languages, the source's first. Evaluations report ``bleu`` (Papineni et al., 2002), from 0 to 100, of greedy
    translations, where ``sacrebleu`` is installed (``pip install "mf-framework[evaluation]"``).
    """

    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("source", "target"), ("translation",))

    def text_metrics(self, dataset: Any) -> Mapping[str, float]:
        """See the base class."""
        try:
            import sacrebleu
        except ImportError:
            warnings.warn(
                "the evaluation reports no bleu: sacrebleu is not installed "
                '(pip install "mf-framework[evaluation]")', stacklevel=2,
            )  # fmt: skip
            return {}
        examples, texts = self.examples(dataset, "eval_dataset"), []
        longest, size = int(examples[0]["target_width"]), self.args.per_device_eval_batch_size
        found = generate(
            self.model, [example["row"].ids for example in examples], max_new_tokens=min(longest * 2, self.limit - 1),
            do_sample=False, num_beams=1, batch_size=size,
        )  # fmt: skip
        assert isinstance(found, list)
        for ids in (*found, *(example["target"].ids for example in examples)):
            texts.append(self.tokenizer.decode(ids, skip_special_tokens=True, strict=False))
        written, true = texts[: len(examples)], texts[len(examples) :]
        tokenize = "zh" if any(map(_UNSPACED.search, true)) else "13a"
        return {"bleu": float(sacrebleu.corpus_bleu(written, [true], tokenize=tokenize).score)}


class SummarizationRecipe(Seq2SeqRecipe):
    """Summarizing texts.

    Records have ``source`` and ``target``, or ``document`` and ``summary``, or ``text`` and ``summary``.
    """

    forms: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("source", "target"), ("document", "summary"), ("text", "summary"),
    )  # fmt: skip


class Seq2SeqLoss(nn.Cell):
    """Cross-entropy of each next token of the target, as ``(mean, number of targets)``.

    Args:
        model: Maps ids, a mask and the decoder's ids to logits ``(B, S, V)``.
        best: Return the likeliest tokens and the labels instead, for metrics.
    """

    def __init__(self, model: PretrainedModel, *, best: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.best, self.cross_entropy = model, best, CrossEntropy()

    def construct(self, ids: Tensor, mask: Tensor, decoder_ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Seq2SeqRecipe.collate` for the shapes; a label of -100 is no target."""
        logits = self.model(ids, mask, decoder_ids)
        if self.best:
            return ops.cast(ops.argmax(logits, -1), ms.int32), labels
        flat = labels.reshape((-1,))
        counted = ops.cast(flat >= 0, ms.float32)
        losses = self.cross_entropy(logits.reshape((-1, logits.shape[-1])), ops.maximum(flat, ops.zeros_like(flat)))
        targets = counted.sum()
        return (losses * counted).sum() / ops.maximum(targets, Tensor(1.0, ms.float32)), targets


def _texts(records: Sequence[tuple[str, Mapping[str, Any]]], form: Sequence[str]) -> list[tuple[str, str]]:
    """Return source and target of records; raise DataError for one that has no texts there, and says where."""
    found, languages = [], None
    for where, record in records:
        values = [record[field] for field in form]
        if len(form) == 1:
            if not isinstance(values[0], Mapping) or len(values[0]) != 2:
                raise DataError(
                    f"{where}: {form[0]} is not a mapping from two languages to texts", value=values[0],
                    hint='{"translation": {"en": "a dog", "zh": "一只狗"}}',
                )  # fmt: skip
            languages = languages or tuple(values[0])
            if tuple(values[0]) != languages:
                raise DataError(
                    f"{where}: the languages are {', '.join(values[0])}, and those of the records before it "
                    f"{', '.join(languages)}", value=list(values[0]), hint="the first is the source of all",
                )  # fmt: skip
            values = list(values[0].values())
        if not all(isinstance(value, str) for value in values):
            raise DataError(f"{where}: source and target are not both texts", value=values)
        found.append((values[0], values[1]))
    return found
