"""The model that the checks of a contract look at, made once for all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...specs import ModelSpec
from ..contracts.config import ConfigContract
from ..contracts.contract import once
from .random_weights import TOLERANCE, set_weights


class ModelSubject(ConfigContract):
    """A small model of the family, and how it is run."""

    head: ClassVar[str | None] = None
    no_gradient: ClassVar[Sequence[str]] = ()
    held_whole: ClassVar[Sequence[str]] = ()

    def subject(self) -> str:
        """See the base class."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"the model of {self.model_type}, with {settings or 'the defaults of its config'}"

    @once
    def spec(self) -> ModelSpec:
        """The model's spec."""
        found = [s for s in self.specs if isinstance(s, ModelSpec) and s.model_type == self.model_type]
        wanted = self.head or "causal_lm"
        named = [s for s in found if wanted in s.heads]
        if named or (found and self.head is None):
            return (named or found)[0]
        self.fault(f"{self.distribution} offers no model of {self.model_type!r} with the head {wanted!r}",
                   "see what its hook mf_models returns")  # fmt: skip

    @property
    def the_head(self) -> str:
        """The head by which the model is found."""
        wanted = self.head or "causal_lm"
        return wanted if wanted in self.spec.heads else self.spec.heads[0]

    @property
    def is_causal_lm(self) -> bool:
        """Whether the model predicts next tokens."""
        return "causal_lm" in self.spec.heads

    def need_causal_lm(self) -> None:
        """Skip the check where the model predicts no next tokens."""
        if not self.is_causal_lm:
            self.skip("the model has not got the head 'causal_lm'")

    @once
    def model_class(self) -> Any:
        """The model's class."""
        return self._load(self.spec.target)

    @once
    def model(self) -> Any:
        """A model whose weights all matter. Checks leave them as they are."""
        model = self.model_class(self.make_config())
        set_weights(model)
        return model

    @once
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="mf-check-")

    @once
    def saved(self) -> Path:
        """The folder that it has been saved to."""
        folder = Path(self._folder.name) / "model"
        self.model.save_pretrained(folder)
        return folder

    def load_saved(self, **overrides: Any) -> Any:
        """Return the model that the file gives back."""
        from ...auto import model_of
        from ...checkpoint.locate import locate

        return model_of(self.owned(locate(self.saved)), f"model:{self.the_head}", **overrides)

    @property
    def tolerance(self) -> float:
        """How far two ways to the same logits may be apart, as a part of their size."""
        return TOLERANCE[self.model.compute_dtype]

    @property
    def length(self) -> int:
        """Tokens of a row: 12, or half of the context where that is less."""
        return max(2, min(12, int(self.model.max_positions) // 2))

    def ids(self, rows: int, length: int, seed: int = 0) -> np.ndarray:
        """Return ids of the vocabulary: ``(rows, length)`` int32."""
        vocabulary = int(self.model.config.vocab_size)
        return np.random.default_rng(seed).integers(0, vocabulary, (rows, length)).astype(np.int32)

    def run(self, model: Any, ids: np.ndarray, mask: Any = None, positions: Any = None) -> Any:
        """Return what a model makes of ids, as a tensor."""
        from mindspore import Tensor

        more = [None if array is None else Tensor(np.asarray(array, np.int32)) for array in (mask, positions)]
        return model(Tensor(np.asarray(ids, np.int32)), *more)

    def logits(self, ids: np.ndarray, mask: Any = None, positions: Any = None) -> np.ndarray:
        """Return the model's logits ``(B, S, V)``."""
        array: np.ndarray = self.run(self.model, ids, mask, positions).asnumpy()
        return array
