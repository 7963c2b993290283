"""Vectors of texts, for search and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor

from ..errors import ArgumentError
from .text_pipeline import TextPipeline, pad

POOLINGS = ("mean", "cls", "last")


class FeatureExtractionPipeline(TextPipeline):
    """Returns a vector for each text.

    Options beside those of :class:`~mf_core.tasks.text_pipeline.TextPipeline`:

    * ``pooling`` (default ``"mean"``): the mean of the tokens' hidden states, that of the first token (``"cls"``), or
      of the last one (``"last"``); padding counts nowhere.
    * ``normalize`` (default False): scale vectors to length 1, so that products are cosines.

    Returns:
        ``(n, E)`` fp32, n texts; one for each text of a generator.
    """

    default_model: ClassVar[str | None] = "all_minilm_l6_v2"
    task: ClassVar[str] = "feature_extraction"
    names: ClassVar[tuple[str, ...]] = ("pooling", "normalize")

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check(options)
        pooling, normalize = options.get("pooling", "mean"), options.get("normalize", False)
        if pooling not in POOLINGS:
            raise ArgumentError(f"pooling={pooling!r} is none of {', '.join(POOLINGS)}", value=pooling)
        if normalize not in (True, False):
            raise ArgumentError(f"normalize={normalize!r} is neither True nor False", value=normalize)

    def join(self, results: list[Any], *, one: bool) -> np.ndarray:
        """See the base class."""
        return np.stack(results)

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        rows = self.encode(items, options)
        if any(not row.ids for row in rows):
            raise ArgumentError("a text is empty, and the tokenizer puts no tokens around it", value="")
        if hasattr(self.model, "decode"):  # its output are logits
            ids, mask, _ = pad(rows, self.pad_id)
            output = self.model.body(Tensor(ids), Tensor(mask))
        else:
            output = self.forward(rows)
        hidden = (output[0] if isinstance(output, tuple) else output).asnumpy().astype(np.float32)
        vectors = []
        for row, states in zip(rows, hidden, strict=True):
            states = states[: len(row.ids)]
            pooling = options.get("pooling", "mean")
            vector = states.mean(0) if pooling == "mean" else states[0 if pooling == "cls" else -1]
            if options.get("normalize", False):
                vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
            vectors.append(vector)
        return vectors
