"""Training masked language models (Devlin et al., 2019, section 3.1).

Shapes: B rows, S tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import nn

from ..errors import ArgumentError, DataError
from .labelled import IGNORED, ClassLoss, RowRecipe, read_records, width_of

#: Part of the tokens that are targets; of these, parts that become the mask and any token.
TARGETS, MASKED, REPLACED = 0.15, 0.8, 0.1


class MaskedLMRecipe(RowRecipe):
    """Predicting tokens behind masks.

    Records have ``text``, or are texts; each is a row. 15 % of a row's tokens, one at least, are targets: 80 % of them
    become the mask token, 10 % any token, 10 % stay. Which they are follows from the row and ``data_seed`` (else
    ``seed``), so that a run that is resumed sees the same. Evaluations report ``perplexity``.
    """

    head: ClassVar[str] = "masked_lm"

    def examples(self, dataset: Any, name: str = "train_dataset") -> Sequence[Mapping[str, Any]]:
        """See the base class; an example is a dict with ``row``, ``ids``, ``labels`` and ``width``."""
        if self.tokenizer is None:
            raise DataError(f"{name} is text, and there is no tokenizer", hint="pass Trainer(tokenizer=…)")
        mask = self.tokenizer.convert_tokens_to_ids(self.tokenizer.mask_token or "")
        if self.tokenizer.mask_token is None or not isinstance(mask, int):
            raise ArgumentError("the tokenizer has no mask token", hint="name a model that was trained with masks")
        texts = [(record["text"], None) for _, record in read_records(dataset, name, (), (), self.args.on_bad_record)
                 if "text" in record]  # fmt: skip
        if not texts:
            raise DataError(f"{name} has no texts", value=name, hint="give texts, or records with a field text")
        rows = self.rows(texts, name)
        width, seed = width_of(rows, self.limit), self.args.data_seed or self.args.seed or 0
        examples = []
        for number, row in enumerate(rows):
            generator = np.random.default_rng((seed, number))
            positions = np.array([position for position, (start, end) in enumerate(row.spans) if end > start])
            if not len(positions):
                continue  # a text of special tokens alone
            count = max(1, round(TARGETS * len(positions)))
            chosen = generator.choice(positions, count, replace=False)
            ids, labels = np.array(row.ids), np.full(len(row.ids), IGNORED)
            labels[chosen] = ids[chosen]
            kind = generator.random(count)
            ids[chosen[kind < MASKED]] = mask
            other = chosen[(kind >= MASKED) & (kind < MASKED + REPLACED)]
            ids[other] = generator.integers(0, int(self.model.config.vocab_size), len(other))
            examples.append({"row": row, "ids": ids, "labels": labels, "width": width})
        return examples

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Return ids, mask, segments and labels, ``(B, S)`` int32 each; labels that are no targets are -100."""
        ids, mask, types = self.arrays(examples)
        labels = np.full(ids.shape, IGNORED, np.int32)
        for number, example in enumerate(examples):
            ids[number, : len(example["ids"])] = example["ids"]
            labels[number, : len(example["labels"])] = example["labels"]
        return ids, mask, types, labels

    def fill(self, examples: Sequence[Mapping[str, Any]], size: int) -> Sequence[Mapping[str, Any]]:
        """See the base class."""
        return [*examples, *[{**examples[0], "labels": []}] * (size - len(examples))]

    def network(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model)

    def predictor(self) -> nn.Cell:
        """See the base class."""
        return ClassLoss(self.model, best=True)

    def metrics(self, loss: float) -> Mapping[str, float]:
        """Return the perplexity."""
        return {"perplexity": math.exp(loss) if loss < 700 else math.inf}
