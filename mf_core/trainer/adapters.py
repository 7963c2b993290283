"""What of a model is trained and saved: all of it, or adapters beside its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.locate import locate
from ..errors import ArgumentError
from ..lora import LoraConfig, add_lora, load_adapter, lora_share, save_adapter
from ..models.base import PretrainedModel
from ..utils.console import say
from ..utils.files import ADAPTER_FILE
from ..utils.paths import user_path
from .arguments import TrainingArguments
from .checkpoints.tensors import host_copy


class Adapters:
    """Adds the adapters that ``pet_method`` asks for, and saves and loads what is trained.

    Args:
        model: The model.
        pet_method: ``""``, ``"lora"``, a :class:`mf_core.LoraConfig`, or a mapping with ``pet_type``.
        args: ``lora_rank`` and its like, for ``"lora"``.

    Raises:
        ArgumentError: The method is unknown.
    """

    def __init__(self, model: PretrainedModel, pet_method: Any, args: TrainingArguments) -> None:
        self._model = model
        self._config = _config(pet_method, args)
        if self._config is not None:
            with seeded(args.seed):
                add_lora(model, self._config)
            say(str(lora_share(model)))

    def save(self, folder: Path, weights: Mapping[str, np.ndarray] | None = None) -> None:
        """Write the adapters, or the model where there are none, into a folder.

        Args:
            folder: Where to.
            weights: What :meth:`copy` gave, instead of what is there now.
        """
        if self._config is None:
            self._model.save_pretrained(folder, weights=weights)
        else:
            save_adapter(self._model, folder, weights=weights)

    def copy(self) -> dict[str, np.ndarray]:
        """Return copies of what :meth:`save` writes."""
        parameters = self._model.parameters_and_names()
        return host_copy({name: p for name, p in parameters if self._config is None or p.requires_grad})

    def load(self, name_or_path: str | Path) -> None:
        """Put a checkpoint's adapters, or its weights, into the model."""
        if self._config is not None and (user_path(name_or_path) / ADAPTER_FILE).is_file():
            load_adapter(self._model, name_or_path)
        else:
            self._model.load(locate(name_or_path))

    @property
    def method(self) -> str:
        """``"lora"``, or nothing."""
        return "" if self._config is None else "lora"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, numpy's global generator draws from ``seed``; after it, it continues as before."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _config(method: Any, args: TrainingArguments) -> LoraConfig | None:
    if not method:
        return None
    if isinstance(method, LoraConfig):
        return method
    options: dict[str, Any] = {}
    if isinstance(method, Mapping):
        options = dict(method)
        method = options.pop("pet_type", None)
    if not isinstance(method, str) or method.lower() != "lora":
        raise ArgumentError(
            f"pet_method={method!r} is not known", value=method, hint="pet_method='lora' trains low-rank adapters"
        )
    chosen = {"r": args.lora_rank, "lora_alpha": args.lora_alpha, "lora_dropout": args.lora_dropout,
              "target_modules": args.lora_targets}  # fmt: skip
    return LoraConfig(**{**chosen, **options})
