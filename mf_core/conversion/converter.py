"""The interface of converters from foreign checkpoint layouts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import IntegrityError


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """A tensor of a source, not read yet.

    Attributes:
        name: Its name in the source, or, of what a converter returns, the model's parameter.
        shape: Its shape.
        dtype: ``"float32"`` or ``"float16"``, or for what is no weight any name.
        origin: What errors call it, such as ``"'word_embedding_table' in model.ckpt"``.
        read: Returns its values; memory for no more than this tensor is taken, and given back with the array.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    origin: str
    read: Callable[[], np.ndarray]

    def renamed(self, name: str) -> SourceTensor:
        """Return the same tensor under another name."""
        return replace(self, name=name)

    def transposed(self) -> SourceTensor:
        """Return the tensor with its axes in reverse order."""
        read = self.read
        return replace(self, shape=self.shape[::-1], read=lambda: read().T)


class Converter(ABC):
    """Reads checkpoints of a family in foreign layouts, one tensor at a time.

    A subclass is named by :attr:`mf_core.specs.ModelSpec.converter`. It only maps names and layouts: the core compares
    all names and shapes with the model before anything is written, casts, and writes.

    Class attributes:
        layouts: What it can read, one per line, for errors and help.

    Attributes:
        description: What was recognised, in a few words.
        ignored: How many tensors of the source are left out because they are no weights.
    """

    layouts: ClassVar[tuple[str, ...]] = ()

    description: str = ""
    ignored: int = 0

    @classmethod
    @abstractmethod
    def recognise(cls, source: Path) -> Converter | None:
        """Return a converter for a file or directory, or None where it is in none of the ``layouts``.

        Raises:
            MFError: It is in one of them, and broken.
        """

    @abstractmethod
    def tensors(self) -> Sequence[SourceTensor]:
        """Return all weights, under the names and in the shapes of the model's parameters."""

    def config(self) -> Mapping[str, Any]:
        """Return the configuration fields that follow from the source, such as ``num_layers``."""
        return {}


def npy_tensor(path: Path, name: str) -> SourceTensor:
    """Return the array of a ``.npy`` file; pickled objects are refused.

    Raises:
        IntegrityError: It is no such file, or cut off.
    """

    def read() -> np.ndarray:
        try:
            return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
        except (ValueError, EOFError, OSError) as error:
            raise IntegrityError(f"{path} cannot be read", value=str(path), why=str(error)) from error

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, dtype = tuple(array.shape), array.dtype.name
    except (ValueError, EOFError, OSError, AttributeError) as error:
        raise IntegrityError(
            f"{path} is not a whole .npy file", value=str(path), why=str(error), hint="fetch it again"
        ) from error
    return SourceTensor(name, shape, dtype, path.name, read)
