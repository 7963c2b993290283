"""The model that the checks of a contract examine, made once for all of them."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...specs import ModelSpec
from ..contracts.config import ConfigContract
from ..contracts.contract import once
from .random_weights import TOLERANCE, flat, set_weights


class ModelSubject(ConfigContract):
    """A small model of the family, and how it is run."""

    head: ClassVar[str | None] = None
    no_gradient: ClassVar[Sequence[str]] = ()
    held_whole: ClassVar[Sequence[str]] = ()

    def subject(self) -> str:
        """See the base class."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        head = self.head or "causal_lm"
        return f"the model of {self.model_type} with the head {head}, and {settings or 'the defaults of its config'}"

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

    @property
    def is_seq2seq(self) -> bool:
        """Whether the model has an encoder, and predicts the next tokens of a target."""
        return "seq2seq_lm" in self.spec.heads

    def need_causal_lm(self) -> None:
        """Skip the check where the model predicts no next tokens."""
        if not self.is_causal_lm:
            self.skip("the model does not have the head 'causal_lm'")

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
        return self.load_from(self.saved, **overrides)

    def load_from(self, folder: Path, **overrides: Any) -> Any:
        """Return the model of a folder."""
        from ...auto import model_of
        from ...checkpoint.locate import locate

        return model_of(self.owned(locate(folder)), f"model:{self.the_head}", **overrides)

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

    @property
    def parameters_of_construct(self) -> list[str]:
        """The names of the arguments of the model's ``construct``."""
        return list(inspect.signature(self.model.construct).parameters)

    def need_ids(self) -> None:
        """Skip the check if the model does not read token ids."""
        if "input_ids" not in self.parameters_of_construct:
            self.skip("construct has no argument input_ids")

    def arguments(self, rows: int, length: int | None = None, seed: int = 0) -> dict[str, np.ndarray]:
        """Return arguments of ``construct`` for a batch: token ids; pixels, and noise that masks patches, of images.

        Override it for a model that reads anything else. Each array's first axis is the batch.

        Args:
            rows: Examples.
            length: Tokens of a row; None: :attr:`length`.
            seed: Of the random values.
        """
        names = self.parameters_of_construct
        made: dict[str, np.ndarray] = {}
        for name in ("input_ids", "decoder_input_ids"):
            if name in names:
                made[name] = self.ids(rows, length or self.length, seed)
        if "pixel_values" in names:
            size = getattr(self.model.config, "image_size", 224)
            height, width = (size, size) if isinstance(size, int) else size
            shape = (rows, int(getattr(self.model.config, "num_channels", 3)), height, width)
            made["pixel_values"] = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
            if "noise" in names:  # which patches are masked
                patch = int(self.model.config.patch_size)
                patches = (height // patch) * (width // patch)
                made["noise"] = np.random.default_rng(seed).random((rows, patches)).astype(np.float32)
        if not made:
            self.skip(f"construct takes {', '.join(names)}: override `arguments` to say what the checks give it")
        return made

    def positional(self, arguments: Mapping[str, np.ndarray | None]) -> list[Any]:
        """Return arguments as tensors in the order of ``construct``, None for those left out."""
        names = self.parameters_of_construct
        given = {name: array for name, array in arguments.items() if array is not None}
        unknown = [name for name in given if name not in names]
        self.expect(not unknown, f"construct has no argument {', '.join(unknown)}",
                    "take input_ids, attention_mask and position_ids by these names")  # fmt: skip
        from mindspore import Tensor

        last = max(map(names.index, given))
        return [Tensor(given[name]) if name in given else None for name in names[: last + 1]]

    def run(self, model: Any, ids: np.ndarray, mask: Any = None, positions: Any = None) -> Any:
        """Return the output of a model for ids."""
        more = {"attention_mask": mask, "position_ids": positions}
        arrays = {name: None if array is None else np.asarray(array, np.int32) for name, array in more.items()}
        if "input_ids" in self.parameters_of_construct:
            return model(*self.positional({"input_ids": np.asarray(ids, np.int32), **arrays}))
        return model(*self.positional({self.parameters_of_construct[0]: np.asarray(ids, np.int32)}))

    def outputs(self, arguments: Mapping[str, np.ndarray | None], model: Any = None) -> list[np.ndarray]:
        """Return the floating-point outputs of the model, or of another, in a flat list."""
        output = (self.model if model is None else model)(*self.positional(arguments))
        tensors = flat(output)
        self.expect(tensors, f"construct returns {type(output).__name__}, without a tensor of floating-point numbers",
                    "return a tensor, or a tuple or mapping of tensors")  # fmt: skip
        return [tensor.asnumpy() for tensor in self.of_rows(tensors)]

    def of_rows(self, outputs: Sequence[Any]) -> Sequence[Any]:
        """Return the outputs that have a value for each row: not those that compare a batch's images with its texts."""
        return outputs[2:] if "zero_shot_image_classification" in self.spec.heads else outputs

    def logits(self, ids: np.ndarray, mask: Any = None, positions: Any = None) -> np.ndarray:
        """Return the model's logits ``(B, S, V)``."""
        array: np.ndarray = self.run(self.model, ids, mask, positions).asnumpy()
        return array
